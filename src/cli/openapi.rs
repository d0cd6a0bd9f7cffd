//! `hookturn openapi`: prints the OpenAPI document of one dialect.

use std::io::{self, Write as _};

use crate::api;
use crate::cli::command_error::{CommandError, written};

#[derive(clap::Args)]
pub(super) struct OpenapiArgs {
    /// The dialect: `2026-03-01` or `verbex-v1`
    #[arg(value_name = "DIALECT")]
    dialect: String,
}

pub(super) fn run(args: &OpenapiArgs) -> Result<(), CommandError> {
    let Some(document) = api::documents::document(&args.dialect) else {
        return Err(CommandError::new(
            "DIALECT: no such document; write 2026-03-01 or verbex-v1",
        ));
    };
    let mut out = io::stdout().lock();
    written(writeln!(out, "{}", document.trim_end()).and_then(|()| out.flush()))
}
