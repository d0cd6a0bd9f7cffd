//! `hookturn keys generate`: generates a master key.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::cli::command_error::{CommandError, written};
use crate::clock::{Clock as _, SystemClock};
use crate::config::SettingError;
use crate::random;
use crate::store::at_rest::MasterKey;

#[derive(clap::Args)]
#[command(
    after_help = "Keep the key where you keep passwords: nobody can read a store without its key.\n\n\
    Example:\n  hookturn keys generate > hookturn.key && chmod 600 hookturn.key\n  \
    export HOOKTURN_MASTER_KEYS=\"$(cat hookturn.key)\""
)]
pub(super) struct GenerateArgs {
    /// The key's id, which is stored with what the key encrypts: 1 to 64 characters of A-Z a-z 0-9
    /// _ - [default: k, the date and the time in UTC, such as k20260612-101500]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

pub(super) fn run(args: GenerateArgs) -> Result<(), CommandError> {
    let id = args.id.unwrap_or_else(id_of_now);
    let bytes = random::key().map_err(|error| CommandError::new(&error.to_string()))?;
    // A key that --master-key would not take must not be printed.
    MasterKey::new(&id, &bytes)
        .map_err(|_| SettingError::new("--id", "write 1 to 64 characters of A-Z a-z 0-9 _ -"))?;
    // Made at its full length, so that it does not grow, which would leave a copy behind.
    let mut line = Zeroizing::new(String::with_capacity(id.len() + 64));
    line.push_str(&id);
    line.push(':');
    BASE64_STANDARD.encode_string(*bytes, &mut line);
    line.push('\n');
    let mut out = io::stdout().lock();
    written(out.write_all(line.as_bytes()).and_then(|()| out.flush()))
}

/// Makes an id of `k`, the date and the time to the second, so that ids sort by age and two keys of
/// one day differ.
fn id_of_now() -> String {
    let now = SystemClock.now().to_string();
    let to_the_second = now.chars().take_while(|char| *char != '.');
    let spelt = to_the_second.filter_map(|char| match char {
        'T' => Some('-'),
        digit => digit.is_ascii_digit().then_some(digit),
    });
    std::iter::once('k').chain(spelt).collect()
}
