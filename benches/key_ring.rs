//! Measures the pure part of a rotation, and the walk over a key ring that every delivery makes.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use hookturn::domain::key_ring::MAX_LIVE;
use hookturn::domain::{KeyRing, Secret, Timestamp};

const GRACE: Duration = Duration::from_secs(3600);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    rotate(&mut criterion);
    live(&mut criterion);
    criterion.final_summary();
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_780_000_000_000)
}

fn secret(number: usize) -> Secret {
    let mut bytes = [0; 30];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Secret::from_bytes(&bytes)
}

/// Makes a ring with `count` live secrets.
fn ring_of(count: usize) -> KeyRing {
    let first = KeyRing::new(secret(0), now());
    (1..count).fold(first, |ring, number| {
        let rotated = ring.rotate(now(), GRACE, secret(number));
        rotated.expect("there is room").0
    })
}

/// Measures rotations of rings with different numbers of live secrets.
fn rotate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rotate");
    let fresh = secret(99);
    for live in [1, 2, MAX_LIVE - 1] {
        let ring = ring_of(live);
        group.bench_function(BenchmarkId::new("with a grace", live), |bencher| {
            bencher.iter(|| black_box(&ring).rotate(now(), GRACE, fresh.clone()));
        });
    }
    let full = ring_of(MAX_LIVE);
    group.bench_function(BenchmarkId::new("at once", MAX_LIVE), |bencher| {
        bencher.iter(|| black_box(&full).rotate(now(), Duration::ZERO, fresh.clone()));
    });
    group.bench_function(BenchmarkId::new("refused", MAX_LIVE), |bencher| {
        bencher.iter(|| black_box(&full).rotate(now(), GRACE, fresh.clone()));
    });
    group.finish();
}

/// Measures the walk over the live secrets, which each attempt of a delivery makes.
fn live(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("live");
    for count in [1, 2, MAX_LIVE] {
        let ring = ring_of(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                for live in black_box(&ring).live(now()) {
                    black_box(live.secret);
                }
            });
        });
    }
    group.finish();
}
