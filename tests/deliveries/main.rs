//! Tests how events are published, sent, signed and retried, and how deliveries end.
//!
//! The server runs on a real socket, and its answers are checked against the `OpenAPI` documents.
//! Each receiver is a real socket too: it records requests and answers as the test says. The clock
//! stands still unless a test moves it, and the worker runs only when a test asks for a step.

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
