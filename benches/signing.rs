//! Measures a delivery's signature header beside the bare HMACs that it needs.
//!
//! For each body size and number of live secrets there are four figures for the same bytes:
//!
//! - *keyed*: the header from [`Signer`]s that are keyed for the message, then the same with the
//!   `hmac` crate alone;
//! - *cloned*: the header from [`Signer`]s that were keyed before, then the same with the `hmac`
//!   crate alone.
//!
//! The difference between a header and its bare HMACs is the formatting: base64 or hex, and the
//! timestamp.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookturn::domain::signature::{standard_webhooks, verbex};
use hookturn::domain::signer::Signer;
use hookturn::domain::{Format, Secret};
use sha2::Sha256;

const ID: &str = "evt_2xW8m0PqLkTz5RsUvYcB7n";
const TIMESTAMP: i64 = 1_780_000_000;
const BODIES: [(&str, usize); 2] = [("200 B", 200), ("16 KiB", 16 * 1024)];
const SECRETS: [u8; 3] = [1, 2, 10];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for format in [Format::StandardWebhooks, Format::Verbex] {
        for (size, bytes) in BODIES {
            signing(&mut criterion, format, size, &vec![b'x'; bytes]);
        }
    }
    criterion.final_summary();
}

fn signing(criterion: &mut Criterion, format: Format, size: &str, body: &[u8]) {
    let (name, prefix) = match format {
        Format::StandardWebhooks => ("standard_webhooks", format!("{ID}.{TIMESTAMP}.")),
        Format::Verbex => ("verbex", format!("{TIMESTAMP}.")),
    };
    let header = |signers: &[Signer]| match format {
        Format::StandardWebhooks => standard_webhooks(signers, ID, TIMESTAMP, black_box(body)),
        Format::Verbex => verbex(signers, TIMESTAMP, black_box(body)),
    };
    let bare = |mut mac: Hmac<Sha256>| {
        mac.update(prefix.as_bytes());
        mac.update(black_box(body));
        black_box(mac.finalize().into_bytes());
    };

    let mut group = criterion.benchmark_group(format!("{name}/{size}"));
    for count in SECRETS {
        let secrets: Vec<Secret> = (0..count)
            .map(|number| Secret::from_bytes(&[number; 30]))
            .collect();
        let texts: Vec<String> = secrets.iter().map(|s| s.expose().to_string()).collect();
        let keys: Vec<&[u8]> = match format {
            Format::StandardWebhooks => secrets.iter().map(|s| s.as_bytes().as_slice()).collect(),
            Format::Verbex => texts.iter().map(String::as_bytes).collect(),
        };
        let key = |key: &&[u8]| Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
        let signer = |secret: &Secret| secret.signer(format);
        let signers: Vec<Signer> = secrets.iter().map(signer).collect();
        let keyed: Vec<Hmac<Sha256>> = keys.iter().map(key).collect();

        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(BenchmarkId::new("keyed, header", count), |bencher| {
            bencher.iter(|| header(&secrets.iter().map(signer).collect::<Vec<_>>()));
        });
        group.bench_function(BenchmarkId::new("keyed, bare", count), |bencher| {
            bencher.iter(|| keys.iter().map(key).for_each(bare));
        });
        group.bench_function(BenchmarkId::new("cloned, header", count), |bencher| {
            bencher.iter(|| header(&signers));
        });
        group.bench_function(BenchmarkId::new("cloned, bare", count), |bencher| {
            bencher.iter(|| keyed.iter().cloned().for_each(bare));
        });
    }
    group.finish();
}
