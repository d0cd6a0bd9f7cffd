//! The program as it is started, used and stopped: its command line, its output, the README's commands, and the
//! operator's commands on files. And what its source may name: see `architecture` and
//! `api_imports`.

mod architecture;
mod cli;
mod demo;
mod operate;
mod readme;
mod receive;
