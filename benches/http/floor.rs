//! The floor: a bare axum server that takes the same request and gives the same answer.
//!
//! It routes, parses and serialises in the ordinary way (`axum::serve`, `Path`, `Json`) and leaves
//! out what Hookturn adds: keys, limits, a store, randomness, a clock and logs.

use std::hint::black_box;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::Fallible;

/// The first argument that makes this binary the floor instead of the benchmark. The floor is a
/// separate process, as Hookturn is, so that both are equally far from the load generator.
pub const ARGUMENT: &str = "serve-the-floor";

#[derive(Deserialize)]
struct Rotate {
    expire_current_in: u32,
}

#[derive(Serialize)]
struct Rotated {
    id: String,
    secret: &'static str,
    previous_secret_expires_at: &'static str,
}

/// Serves on `127.0.0.1:port` until the process is killed.
pub fn serve(port: &str) -> Fallible<()> {
    let port: u16 = port.parse()?;
    // The same runtime as from `#[tokio::main]`: one worker for each core.
    tokio::runtime::Runtime::new()?.block_on(async {
        let router = Router::new()
            .route("/webhooks/endpoints/{id}/secret/rotate", post(rotate))
            .route("/healthz", get(async || "ok"));
        axum::serve(TcpListener::bind(("127.0.0.1", port)).await?, router).await?;
        Ok(())
    })
}

async fn rotate(Path(id): Path<String>, Json(request): Json<Rotate>) -> Json<Rotated> {
    black_box(request.expire_current_in);
    Json(Rotated {
        id,
        // As long as a real secret, but not one.
        secret: "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        previous_secret_expires_at: "2026-06-12T10:15:00.000Z",
    })
}
