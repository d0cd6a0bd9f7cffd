//! The settings that limit what one tenant keeps.

use super::error::{SettingError, named};
use super::store_url::StoreUrl;
use crate::store::Quotas;

/// The unparsed quotas. Each takes a number or `off`.
#[derive(clap::Args, Default)]
pub struct QuotaArgs {
    /// The most endpoints of each tenant, 1 or more, or `off` [default: 10000]
    #[arg(
        long = "quota-endpoints",
        value_name = "N|off",
        env = "HOOKTURN_QUOTA_ENDPOINTS"
    )]
    endpoints: Option<String>,

    /// The most pending deliveries of each tenant, 1 or more, or `off` [default: 1000000]
    #[arg(
        long = "quota-pending-deliveries",
        value_name = "N|off",
        env = "HOOKTURN_QUOTA_PENDING_DELIVERIES"
    )]
    pending_deliveries: Option<String>,

    /// The most bytes of events that are kept for each tenant, 1 or more, or `off` [default:
    /// 1073741824 in memory, 10737418240 on disk]
    ///
    /// An event counts the bytes of its data and 512, and 512 for each of its deliveries.
    #[arg(
        long = "quota-event-bytes",
        value_name = "BYTES|off",
        env = "HOOKTURN_QUOTA_EVENT_BYTES"
    )]
    event_bytes: Option<String>,

    /// The most idempotency keys of each tenant in 24 hours, 1 or more, or `off` [default: 1000000
    /// in memory, 10000000 on disk]
    #[arg(
        long = "quota-idempotency-keys",
        value_name = "N|off",
        env = "HOOKTURN_QUOTA_IDEMPOTENCY_KEYS"
    )]
    idempotency_keys: Option<String>,
}

impl QuotaArgs {
    /// Parses the quotas. Those that are not given are the defaults of `store`.
    pub(super) fn parse(self, store: &StoreUrl) -> Result<Quotas, SettingError> {
        let default = match store {
            StoreUrl::Memory => Quotas::MEMORY,
            StoreUrl::Sqlite { .. } => Quotas::DISK,
        };
        Ok(Quotas {
            endpoints: named(
                "--quota-endpoints (HOOKTURN_QUOTA_ENDPOINTS)",
                quota(self.endpoints.as_deref(), default.endpoints, "endpoints"),
            )?,
            pending_deliveries: named(
                "--quota-pending-deliveries (HOOKTURN_QUOTA_PENDING_DELIVERIES)",
                quota(
                    self.pending_deliveries.as_deref(),
                    default.pending_deliveries,
                    "deliveries",
                ),
            )?,
            event_bytes: named(
                "--quota-event-bytes (HOOKTURN_QUOTA_EVENT_BYTES)",
                quota(self.event_bytes.as_deref(), default.event_bytes, "bytes"),
            )?,
            idempotency_keys: named(
                "--quota-idempotency-keys (HOOKTURN_QUOTA_IDEMPOTENCY_KEYS)",
                quota(
                    self.idempotency_keys.as_deref(),
                    default.idempotency_keys,
                    "keys",
                ),
            )?,
        })
    }
}

fn quota(text: Option<&str>, default: Option<u64>, of: &str) -> Result<Option<u64>, String> {
    match text {
        None | Some("") => Ok(default),
        Some("off") => Ok(None),
        // The store counts with 64 bits and a sign.
        Some(text) => match text.parse() {
            Ok(limit) if (1..=i64::MAX.unsigned_abs()).contains(&limit) => Ok(Some(limit)),
            _ => Err(format!("write a whole number of {of}, 1 or more, or off")),
        },
    }
}
