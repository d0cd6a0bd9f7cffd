//! Draws a timeline of which secret signed when, as text.

use crate::domain::Fingerprint;

/// The facts of one dialect's timeline.
pub(super) struct Told {
    pub title: &'static str,
    pub grace: &'static str,
    pub old: Fingerprint,
    pub new: Fingerprint,
    /// Before the rotation, during the grace period, and after it.
    pub sent: [Sent; 3],
}

/// Which secrets signed one event.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub by_old: bool,
    pub by_new: bool,
}

impl Sent {
    fn count(self) -> usize {
        usize::from(self.by_old) + usize::from(self.by_new)
    }
}

/// Returns the lines of the timeline, which are at most 80 columns wide.
pub(super) fn draw(told: &Told) -> Vec<String> {
    let signed = |is: bool| if is { '●' } else { '─' };
    let [before, during, after] = told.sent;
    let name = |name: &str, secret: Fingerprint| format!("  {name} {secret}");
    vec![
        format!(
            "{:<28}{:<10}{:<10}{:<10}{:<10}event 3",
            told.title,
            "event 1",
            "rotate",
            "event 2",
            format!("+ {}", told.grace)
        ),
        format!(
            "{}  ──{}─────────┬─────────{}─────────┤",
            name("old", told.old),
            signed(before.by_old),
            signed(during.by_old),
        ),
        format!(
            "{}              └─────────{}───────────────────{}──▶",
            name("new", told.new),
            signed(during.by_new),
            signed(after.by_new),
        ),
        format!(
            "  {:<28}{:<20}{:<20}{}",
            "signatures",
            before.count(),
            during.count(),
            after.count()
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    #[test]
    fn the_columns_stand_under_each_other_and_fit_a_terminal() {
        let fingerprint = |byte| Secret::from_bytes(&[byte; 30]).fingerprint();
        let sent = |by_old, by_new| Sent { by_old, by_new };
        let lines = draw(&Told {
            title: "2026-03-01",
            grace: "72 h",
            old: fingerprint(1),
            new: fingerprint(2),
            sent: [sent(true, false), sent(true, true), sent(false, true)],
        });
        let column = |line: &str, wanted: &str| {
            let at = line.find(wanted).map(|byte| line[..byte].chars().count());
            at.unwrap_or_else(|| panic!("{wanted:?} in {line:?}"))
        };
        assert!(
            lines.iter().all(|line| line.chars().count() <= 80),
            "{lines:#?}"
        );
        assert_eq!(column(&lines[1], "┬"), column(&lines[2], "└"));
        // Each event's mark is below its heading.
        let under = |heading: &str, line: &str, nth: usize| {
            let start = column(&lines[0], heading);
            let marks = line.chars().enumerate().filter(|(_, char)| *char == '●');
            let mark = marks.map(|(at, _)| at).nth(nth);
            assert!(
                mark.is_some_and(|mark| (start..start + 7).contains(&mark)),
                "{lines:#?}"
            );
        };
        under("event 1", &lines[1], 0);
        under("event 2", &lines[1], 1);
        under("event 2", &lines[2], 0);
        under("event 3", &lines[2], 1);
    }
}
