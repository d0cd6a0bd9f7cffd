//! Compares rotations on Hookturn with the floor, in pairs of rounds.

use crate::Fallible;
use crate::measure::{Sample, median};
use crate::settings::Settings;
use crate::subject::{Configuration, Store, Subject};

/// The configurations that are compared with the floor. With the log at `warn` the server itself is
/// measured; `info` is the default, with a line for each request; `sqlite` answers when the
/// rotation is on the disk.
const CONFIGURATIONS: &[Configuration] = &[
    Configuration {
        name: "hookturn, log warn",
        store: Store::Memory,
        arguments: &["--log", "warn"],
        logs_requests: false,
        target: 0.75,
    },
    Configuration {
        name: "hookturn, request lines in a file",
        store: Store::Memory,
        arguments: &["--log", "info"],
        logs_requests: true,
        target: 0.60,
    },
    Configuration {
        name: "hookturn, sqlite, log warn",
        store: Store::Sqlite,
        arguments: &["--log", "warn,hookturn::store=info"],
        logs_requests: false,
        target: 0.50,
    },
];

/// Compares every configuration with the floor.
pub async fn run(settings: &Settings) -> Fallible<()> {
    let floor = Subject::floor("floor", settings).await?;
    let mut contenders = Vec::new();
    for configuration in CONFIGURATIONS {
        let subject = Subject::hookturn(configuration, settings).await?;
        let (ours, floors) = (subject.answer_length().await?, floor.answer_length().await?);
        if ours != floors {
            return Err(format!(
                "{} answers {ours} bytes and the floor {floors}: no comparison",
                subject.name
            )
            .into());
        }
        contenders.push((subject, configuration.target));
    }
    compare(settings, &floor, &contenders).await?;
    for (subject, _) in contenders {
        if let Some((writes, commits)) = subject.server.stop()? {
            println!(
                "{}: {writes} writes in {commits} commits, {:.1} in each",
                subject.name,
                writes / commits
            );
        }
    }
    Ok(())
}

/// Compares the floor with a second floor. The difference from 1 is noise, and [`run`] has as much
/// of it.
pub async fn calibrate(settings: &Settings) -> Fallible<()> {
    let floor = Subject::floor("floor", settings).await?;
    let same = Subject::floor("the floor again", settings).await?;
    compare(settings, &floor, &[(same, 1.0)]).await
}

/// Compares the contenders with the floor.
///
/// All servers keep running, and one at a time is under load. An idle server costs nothing, and a
/// fresh one would be measured with an empty heap.
async fn compare(
    settings: &Settings,
    floor: &Subject,
    contenders: &[(Subject, f64)],
) -> Fallible<()> {
    println!(
        "rotations over {} connections and {} endpoints, {:?} a round",
        settings.connections, settings.endpoints, settings.measured
    );
    let mut pairs: Vec<Vec<(Sample, Sample)>> = vec![Vec::new(); contenders.len()];
    for round in 1..=settings.rounds {
        for ((contender, _), pairs) in contenders.iter().zip(&mut pairs) {
            let pair = (
                floor.round(settings).await?,
                contender.round(settings).await?,
            );
            println!("round {round}  {}  {}", pair.0, floor.name);
            println!(
                "         {}  {}: {:.2} of the rate, {:.2} times the p99",
                pair.1,
                contender.name,
                rate(&pair),
                tail(&pair)
            );
            pairs.push(pair);
        }
    }
    for ((contender, target), pairs) in contenders.iter().zip(&pairs) {
        println!(
            "median of {}  {}: {:.2} of the floor's rate (target {target:.2}), {:.2} times its p99",
            pairs.len(),
            contender.name,
            median(pairs.iter().map(rate)),
            median(pairs.iter().map(tail)),
        );
    }
    Ok(())
}

fn rate((floor, contender): &(Sample, Sample)) -> f64 {
    contender.per_second / floor.per_second
}

fn tail((floor, contender): &(Sample, Sample)) -> f64 {
    contender.p99 / floor.p99
}
