//! `hookturn openapi`: prints the document of one dialect.

use std::io::{self, Write as _};

use super::{Failure, written};

#[derive(clap::Args)]
pub(super) struct OpenapiArgs {
    /// The dialect: `2026-03-01` or `verbex-v1`
    #[arg(value_name = "DIALECT")]
    dialect: String,
}

pub(super) fn run(args: &OpenapiArgs) -> Result<(), Failure> {
    let Some(document) = document(&args.dialect) else {
        return Err(Failure::new(
            "DIALECT: no such document; write 2026-03-01 or verbex-v1",
        ));
    };
    let mut out = io::stdout().lock();
    written(writeln!(out, "{}", document.trim_end()).and_then(|()| out.flush()))
}

// PLACEHOLDER: to be replaced by `crate::api::openapi(name)`.
fn document(name: &str) -> Option<String> {
    matches!(name, "2026-03-01" | "verbex-v1")
        .then(|| format!(r#"{{"openapi":"3.1.0","info":{{"title":"{name}"}}}}"#))
}
