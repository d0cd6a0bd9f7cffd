//! Measures what a tenant waits while its neighbour, or somebody without a key, does what it can.
//!
//! For each row there is a server with two tenants. The *victim* rotates, reads, probes `/readyz`
//! over new connections, and publishes events to its receiver, all at a fixed pace. The *attack*
//! runs in a thread of its own. The first row is without an attack.
//!
//! A wait counts from the instant at which the request was due, so that a request that had to wait
//! for the one before it counts in full. Attack, victim and both receivers share the machine with
//! the server, so what is printed is more than what a victim elsewhere would see.

mod attack;
mod receiver;
mod victim;

use std::process::Command;
use std::time::Duration;

use crate::Fallible;
use crate::process;
use crate::settings::Settings;
use crate::subject::{Store, hookturn_by, program};
use crate::wire::NEIGHBOUR_KEY;
use attack::{Attack, Attacker};
use victim::{Seen, Waits};

/// How much more memory the server may use during an attack, in MiB. This is asserted.
const MOST_MEMORY: f64 = 300.0;

/// What the victim should wait at most: for 99 of 100 requests, and for the last one. These are
/// printed, but not asserted.
const TARGET_P99: Duration = Duration::from_millis(50);
const TARGET_LONGEST: Duration = Duration::from_millis(500);

/// The stores that a row measures.
const BOTH: &[Store] = &[Store::Memory, Store::Sqlite];

/// The rows: an attack, the stores it is measured with, and the limit of descriptors of the server.
const ROWS: &[(Attack, &[Store], Option<u32>)] = &[
    (Attack::None, BOTH, None),
    (Attack::ManyEndpoints, BOTH, None),
    (Attack::SlowReceivers, BOTH, None),
    (Attack::UnansweredNames, &[Store::Memory], None),
    (Attack::LargeLists, BOTH, None),
    (Attack::RepeatedEvents, BOTH, None),
    (Attack::UnreadHttp1, &[Store::Memory], None),
    (Attack::UnreadHttp2, &[Store::Memory], None),
    (Attack::ManyHosts, &[Store::Memory], Some(1024)),
    (Attack::IdleConnections, &[Store::Memory], Some(1024)),
    (Attack::IdleConnections, &[Store::Memory], None),
    (Attack::Deletion, BOTH, None),
];

/// Measures every row and prints a table.
pub async fn run(settings: &Settings) -> Fallible<()> {
    raise_limit_of_descriptors();
    println!(
        "what a tenant waits beside a neighbour, in ms: median, 99 of 100, longest ({:?} a row)",
        settings.neighbours.measured
    );
    println!(
        "{:<34} {:>18} {:>18} {:>18} {:>18} {:>8} {:>6}  answers to the attack",
        "", "rotation", "read", "/readyz", "delivery", "memory", "files"
    );
    let mut over = Vec::new();
    for (attack, stores, descriptors) in ROWS {
        if !attack.name().contains(&settings.neighbours.rows) {
            continue;
        }
        for store in *stores {
            let name = match descriptors {
                None => format!("{}, {}", attack.name(), store.name()),
                Some(limit) => format!("{}, {limit} files", attack.name()),
            };
            let Some(row) = measure(*attack, *store, *descriptors, settings)
                .await
                .map_err(|error| format!("{name}: {error}"))?
            else {
                println!("{name:<34} not measured: needs `unshare` and port 53 of 127.17.53.53");
                continue;
            };
            println!("{name:<34} {row}");
            if row.growth() > MOST_MEMORY {
                return Err(format!("{name}: memory grew by {:.0} MiB", row.growth()).into());
            }
            if row.seen.longest() > TARGET_LONGEST || row.seen.worst_p99() > TARGET_P99 {
                over.push(name);
            }
        }
    }
    println!(
        "targets: {TARGET_P99:?} for 99 of 100 and {TARGET_LONGEST:?} for the longest; over them: {}",
        if over.is_empty() {
            "none".to_owned()
        } else {
            over.join("; ")
        }
    );
    Ok(())
}

/// What a row found.
struct Row {
    seen: Seen,
    answers: String,
}

impl Row {
    /// How much memory grew during the attack, in MiB.
    fn growth(&self) -> f64 {
        f64::from(self.seen.most_memory.saturating_sub(self.seen.memory)) / f64::from(1 << 20)
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Waits {
            rotation,
            read,
            ready,
            delivery,
        } = &self.seen.waits;
        for waits in [rotation, read, ready, delivery] {
            let millis = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1e3;
            let text = format!(
                "{:.1} {:.0} {:.0}",
                millis(waits.value_at_quantile(0.50)),
                millis(waits.value_at_quantile(0.99)),
                millis(waits.max())
            );
            write!(f, "{text:>18} ")?;
        }
        let memory = format!("+{:.0} MiB", self.growth());
        let files = self.seen.most_files;
        write!(f, "{memory:>8} {files:>6}  {}", self.answers)
    }
}

/// Measures one row. Returns `None` if this machine cannot do the attack.
async fn measure(
    attack: Attack,
    store: Store,
    descriptors: Option<u32>,
    settings: &Settings,
) -> Fallible<Option<Row>> {
    let name_server = attack.name_server();
    if attack == Attack::UnansweredNames && name_server.is_none() {
        return Ok(None);
    }
    let neighbour = format!("neighbour={NEIGHBOUR_KEY}");
    let limit = attack.rate_limit();
    let arguments = [
        "--api-key",
        &neighbour,
        "--log",
        "error",
        "--rate-limit",
        limit,
    ];
    let command = command(attack, descriptors);
    let server = hookturn_by(command, store, &arguments).await?;
    let sizes = &settings.neighbours;
    let mut attacker = Attacker::start(attack, server.address(), sizes.clone())?;
    // The victim's things are there before the attack begins.
    let victim = victim::Victim::prepare(&server).await?;
    attacker.wait_until_prepared().await?;
    let seen = victim
        .watch(&server, sizes.measured, || attacker.begin())
        .await?;
    let answers = attacker.stop()?;
    Ok(Some(Row { seen, answers }))
}

/// The command that runs the server: with few descriptors, or with a name server that answers
/// nothing.
fn command(attack: Attack, descriptors: Option<u32>) -> Command {
    let program = program();
    let script = match (attack, descriptors) {
        (Attack::UnansweredNames, _) => {
            let mut command = process::command("unshare");
            command.args(["--map-root-user", "--mount", "sh", "-c"]);
            command.arg(attack::WITH_OWN_NAME_SERVER);
            command.arg("sh").arg(program);
            return command;
        }
        (_, Some(limit)) => format!("ulimit -n {limit}; exec \"$@\""),
        (_, None) => return process::command(&program),
    };
    let mut command = process::command("sh");
    command.args(["-c", &script, "sh"]).arg(program);
    command
}

/// Thousands of connections begin and end in this process.
fn raise_limit_of_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it fails, an attack that lacks descriptors says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
