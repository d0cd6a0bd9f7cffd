//! Compares rotations on a server with many endpoints with those on one with few, and measures the
//! memory of an endpoint.

use std::time::Instant;

use crate::Fallible;
use crate::measure::median;
use crate::settings::Settings;
use crate::subject::{Configuration, Store, Subject, hookturn_on};

/// The share of the rate with few endpoints that a server with many should keep.
const fn target(store: Store) -> f64 {
    match store {
        Store::Memory => 0.75,
        // A rotation may take a quarter longer.
        Store::Sqlite => 0.80,
    }
}

/// Compares two servers, one of them with a large population, in pairs of rounds.
pub async fn run(settings: &Settings, store: Store) -> Fallible<()> {
    let configuration = |name| Configuration {
        name,
        store,
        arguments: &["--log", "warn"],
        logs_requests: false,
        target: target(store),
    };
    let few = Subject::hookturn(&configuration("few endpoints"), settings).await?;
    let mut many = Subject::hookturn(&configuration("many endpoints"), settings).await?;

    let before = many.server.resident_bytes();
    let ids = many.create_endpoints(settings.population, settings).await?;
    let after = many.server.resident_bytes();
    println!(
        "{}: {} endpoints beside one with {} more",
        store.name(),
        settings.endpoints,
        settings.population
    );
    if let (Some(before), Some(after), Ok(count)) =
        (before, after, u32::try_from(settings.population))
    {
        println!(
            "         resident {:.1} MiB, then {:.1} MiB: {:.0} bytes an endpoint",
            mebibytes(before),
            mebibytes(after),
            (f64::from(after) - f64::from(before)) / f64::from(count)
        );
    }

    let on_disk = many.server.bytes_on_disk()?;
    if on_disk > 0 {
        println!("         {on_disk} bytes on the disk, the write-ahead log included");
    }

    // As many endpoints as the other server rotates, so that the generator does the same work for
    // both, but from all over the population, so that the store's caches do not help.
    let step = (settings.population / settings.endpoints).max(1);
    many.rotate_these(ids.iter().step_by(step).take(settings.endpoints));

    let mut ratios = Vec::new();
    for round in 1..=settings.rounds {
        let (alone, crowded) = (few.round(settings).await?, many.round(settings).await?);
        let ratio = crowded.per_second / alone.per_second;
        println!("round {round}  {alone}  {}", few.name);
        println!("         {crowded}  {}: {ratio:.2} of the rate", many.name);
        ratios.push(ratio);
    }
    println!(
        "median of {}  {} with {} more endpoints: {:.2} of the rate (target {:.2})",
        ratios.len(),
        store.name(),
        settings.population,
        median(ratios),
        target(store)
    );
    if let Some(folder) = many.server.crash()? {
        let started = Instant::now();
        let again = hookturn_on(Some(folder), &["--log", "warn"]).await?;
        println!(
            "         killed under {} endpoints, and ready again after {:.2} s",
            settings.population,
            started.elapsed().as_secs_f64()
        );
        drop(again);
    }
    Ok(())
}

fn mebibytes(bytes: u32) -> f64 {
    f64::from(bytes) / f64::from(1 << 20)
}
