//! Events on their way to receivers: what is published, how it is sent and signed, and what becomes of it.
//!
//! The server is a real one on a real socket, its answers are held against the `OpenAPI` documents, and so are the
//! receivers: each is a socket that records what comes and answers as the test says. The clock stands still unless a
//! test moves it, and the worker makes a step when a test asks for one.

mod stage;

mod cores;
mod disabled;
mod documented;
mod egress;
mod example_receivers;
mod formats;
mod grace;
mod grace_model;
mod hostile;
mod publish;
mod publish_fields;
mod reads;
mod resend;
mod room;
mod schedule;
mod sender;
mod under_way;
mod wakeups;
