//! Events on their way to receivers: what is published, how it is sent and signed, and what becomes of it.
//!
//! The server is a real one on a real socket, its answers are held against the `OpenAPI` documents, and so are the
//! receivers: each is a socket that records what comes and answers as the test says. The clock stands still unless a
//! test moves it, and the worker makes a step when a test asks for one.

#[path = "../it/client.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of the API, which use all of it"
)]
mod client;
#[path = "../it/openapi_check.rs"]
mod openapi_check;
#[path = "../it/support.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of the API, which use all of it"
)]
mod support;

mod receiver;
mod stage;
mod verify;

mod disabled;
mod documented;
mod egress;
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
mod under_way;
mod wakeups;
