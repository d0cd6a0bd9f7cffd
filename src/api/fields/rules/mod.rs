//! Rules for the values of fields, independent of what the fields mean.

mod choice;
mod list;
mod text;
mod value;

pub use self::choice::{Choice, Cursor};
pub use self::list::{List, check_count};
pub use self::text::{Nullable, Parsed, Text};
pub(in crate::api) use self::value::typed;
pub use self::value::{AnyObject, Boolean, Integer};
