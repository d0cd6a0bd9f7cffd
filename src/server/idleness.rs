//! Finds the connection that has been idle longest, among thousands and without looking at all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use super::activity::Activity;

/// How many connections are looked at before one of them is taken that may be busy.
const MOST: usize = 64;

/// Connections, by when they have been idle.
///
/// A connection becomes busy and idle without anybody noting it here. So each has the time since
/// which it was idle when it was last looked at. That time only grows, so the first connection
/// whose time is still right is the one.
#[derive(Debug, Default)]
pub(super) struct ByIdleness {
    queue: BTreeMap<(Instant, u64), Arc<Activity>>,
    /// The times of all, by their numbers.
    times: HashMap<u64, Instant>,
}

impl ByIdleness {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn add(&mut self, number: u64, activity: Arc<Activity>) {
        let time = activity.idle_since();
        self.times.insert(number, time);
        self.queue.insert((time, number), activity);
    }

    pub fn remove(&mut self, number: u64) -> Option<Arc<Activity>> {
        let time = self.times.remove(&number)?;
        self.queue.remove(&(time, number))
    }

    /// Returns the connection that has been idle longest, or a busy one if there are many of them
    /// or only such.
    pub fn idlest(&mut self) -> Option<u64> {
        let idle = self.look_at(MOST);
        idle.or_else(|| Some(self.queue.first_key_value()?.0.1))
    }

    /// Returns the connection that has been idle longest, if one is idle. It may look at all.
    pub fn idle(&mut self) -> Option<u64> {
        // After one look at each, all times are right.
        self.look_at(2 * self.len())
    }

    fn look_at(&mut self, most: usize) -> Option<u64> {
        let now = Instant::now();
        for _ in 0..most {
            let first = self.queue.first_key_value();
            let ((time, number), activity) = first.map(|(key, activity)| (*key, activity))?;
            let is_busy = activity.is_busy();
            let time_now = if is_busy { now } else { activity.idle_since() };
            if !is_busy && time_now <= time {
                return Some(number);
            }
            if let Some(activity) = self.remove(number) {
                self.times.insert(number, time_now);
                self.queue.insert((time_now, number), activity);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use axum::http::Version;
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    /// What happens to the connection with this number.
    #[derive(Clone, Copy, Debug)]
    enum Happening {
        Added,
        Removed,
        RequestBegins,
        RequestEnds,
        Looked,
    }

    fn happening() -> impl Strategy<Value = (Happening, u64)> {
        use Happening::{Added, Looked, Removed, RequestBegins, RequestEnds};
        let kinds = [Added, Removed, RequestBegins, RequestEnds, Looked];
        (proptest::sample::select(kinds.to_vec()), 0..8u64)
    }

    proptest! {
        #[test]
        fn it_finds_what_a_look_at_all_would_find(
            happenings in prop::collection::vec(happening(), 0..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut by_idleness = ByIdleness::default();
                let mut all = BTreeMap::new();
                let mut requests = Vec::new();
                for (happening, number) in happenings {
                    advance(Duration::from_nanos(1)).await;
                    match happening {
                        Happening::Added => {
                            if let Some(old) = by_idleness.remove(number) {
                                by_idleness.add(number, old);
                            } else {
                                let activity = Activity::new(Arc::<AtomicUsize>::default());
                                by_idleness.add(number, Arc::clone(&activity));
                                all.insert(number, activity);
                            }
                        }
                        Happening::Removed => {
                            let removed = by_idleness.remove(number).is_some();
                            prop_assert_eq!(removed, all.remove(&number).is_some());
                        }
                        Happening::RequestBegins => {
                            let activity = all.get(&number);
                            requests.extend(activity.map(|one| one.begin(Version::HTTP_11)));
                        }
                        Happening::RequestEnds => {
                            let _ = requests.pop();
                        }
                        Happening::Looked => {
                            let idle = all.iter().filter(|(_, one)| !one.is_busy());
                            let since = |one: &Arc<Activity>| one.idle_since();
                            let longest = idle.clone().map(|(_, one)| since(one)).min();
                            let found = by_idleness.idle();
                            let found_since = found.map(|number| since(&all[&number]));
                            prop_assert_eq!(found_since, longest);
                            prop_assert_eq!(by_idleness.idlest().is_some(), !all.is_empty());
                        }
                    }
                    prop_assert_eq!(by_idleness.len(), all.len());
                }
                Ok(())
            })?;
        }
    }
}
