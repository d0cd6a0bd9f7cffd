//! Compares Hookturn's speed under HTTP load with that of a bare axum server.
//!
//! Requests per second on one machine say little about another machine, so the results are ratios.
//! A pair of rounds is one on the *floor* (the smallest axum server that parses the same request
//! and answers the same JSON) and then one on Hookturn, with the same load generator and the same
//! number of connections. The median of several pairs cancels most of the other load of the
//! machine.
//!
//! ```sh
//! cargo bench --bench http                 # everything, about ten minutes
//! cargo bench --bench http -- rotation     # Hookturn beside the floor
//! cargo bench --bench http -- population   # 200,000 more endpoints beside 100
//! cargo bench --bench http -- deliveries   # delivered events beside the receiver's own rate
//! cargo bench --bench http -- neighbours   # what a tenant waits beside one that does what it can
//! cargo bench --bench http -- calibrate    # the floor beside itself, which shows the noise
//! ```
//!
//! `BENCH_ROUNDS` (5), `BENCH_SECONDS` (3, of each round), `BENCH_POPULATION` (200000),
//! `BENCH_DELIVERIES` (20000, of each round) and `BENCH_NEIGHBOURS_SECONDS` (10, of each attack)
//! change the sizes. `BENCH_NEIGHBOURS` chooses the attacks with this text in their names, and
//! `BENCH_PROGRAM` another build of the server. Speed is printed but not asserted, since it depends
//! on the machine. A failed request fails the run, and so does a delivery that is
//! missing, repeated or a minute late.
//!
//! Reading order: [`floor`], [`subject`] (a server under load), [`load`] and [`wire`] (the
//! generator), [`work`] (what is asked), then the runs: [`rotation`], [`population`],
//! [`deliveries`] (with its [`receiver`]) and [`neighbours`].

mod deliveries;
mod floor;
mod load;
mod measure;
mod neighbours;
mod population;
mod process;
mod receiver;
mod rotation;
mod settings;
mod subject;
mod wire;
mod work;

use std::error::Error;
use std::process::ExitCode;

use settings::Settings;
use subject::Store;

/// The result of a step, whose error is only shown.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One run of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Rotation,
    Population,
    Deliveries,
    Neighbours,
    Calibrate,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [word, port] if word == floor::ARGUMENT => floor::serve(port),
        [word, port] if word == receiver::ARGUMENT => receiver::serve(port),
        _ => choose(&arguments).and_then(|(settings, runs)| run_all(&settings, &runs)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Chooses the settings and the runs.
///
/// `cargo bench` passes `--bench` and then the user's arguments. Without `--bench` this is
/// `cargo test --all-targets`, which checks that benchmarks still work, so all runs are done with
/// the smallest settings.
fn choose(arguments: &[String]) -> Fallible<(Settings, Vec<Run>)> {
    let words: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'))
        .collect();
    if !arguments.iter().any(|word| word == "--bench") {
        let wanted = words.is_empty() && !arguments.iter().any(|word| word == "--list");
        let runs = if wanted {
            vec![
                Run::Calibrate,
                Run::Rotation,
                Run::Population,
                Run::Deliveries,
                Run::Neighbours,
            ]
        } else {
            Vec::new()
        };
        return Ok((Settings::smallest(), runs));
    }
    let mut runs = Vec::new();
    for word in &words {
        match *word {
            "rotation" => runs.push(Run::Rotation),
            "population" => runs.push(Run::Population),
            "deliveries" => runs.push(Run::Deliveries),
            "neighbours" => runs.push(Run::Neighbours),
            "calibrate" => runs.push(Run::Calibrate),
            // This is not an error, since `cargo bench -- NAME` passes the name to every benchmark
            // of the package.
            other => eprintln!(
                "http bench: no run is called {other:?} (there are rotation, population, deliveries, neighbours, calibrate)"
            ),
        }
    }
    if words.is_empty() {
        runs = vec![
            Run::Rotation,
            Run::Population,
            Run::Deliveries,
            Run::Neighbours,
        ];
    }
    Ok((Settings::from_environment()?, runs))
}

/// Does the runs on one thread, since the generator shares the machine with the server that it
/// measures.
fn run_all(settings: &Settings, runs: &[Run]) -> Fallible<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for run in runs {
            match run {
                Run::Rotation => rotation::run(settings).await?,
                Run::Population => {
                    population::run(settings, Store::Memory).await?;
                    population::run(settings, Store::Sqlite).await?;
                }
                Run::Deliveries => {
                    deliveries::run(settings, Store::Memory).await?;
                    deliveries::run(settings, Store::Sqlite).await?;
                }
                Run::Neighbours => neighbours::run(settings).await?,
                Run::Calibrate => rotation::calibrate(settings).await?,
            }
        }
        Ok(())
    })
}
