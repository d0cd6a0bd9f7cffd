//! Formats the report of a verification for a terminal of 80 columns or a file. It has no colour,
//! since people copy it into tickets.

use std::fmt::Write as _;

use crate::domain::verification::{
    Rejection, Report, SecretOutcome, SignatureReport, format_name, span,
};
use crate::domain::{Format, Timestamp};

/// The width of a line in columns.
const WIDTH: usize = 80;

/// The width of the columns before a row's text.
const INDENT: usize = 15;

/// Rows of a label and a text, which is wrapped and indented.
#[derive(Default)]
pub(super) struct Rows(String);

impl Rows {
    pub(super) fn row(&mut self, label: &str, text: &str) {
        let _ = write!(self.0, "  {label:<width$}", width = INDENT - 2);
        let mut column = INDENT;
        for (number, word) in text.split(' ').enumerate() {
            let length = word.chars().count();
            if number > 0 && column + 1 + length > WIDTH {
                let _ = write!(self.0, "\n{:INDENT$}", "");
                column = INDENT;
            } else if number > 0 {
                self.0.push(' ');
                column += 1;
            }
            self.0.push_str(word);
            column += length;
        }
        self.0.push('\n');
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// Adds all rows of `report`. `places` says where each secret comes from; it may be empty.
    pub(super) fn explain(&mut self, report: &Report, places: &[String]) {
        for failure in &report.failures {
            self.row("why", &failure.to_string());
            if let Rejection::NoMatch { hints } = failure {
                for hint in hints {
                    self.row("hint", &hint.to_string());
                }
            }
        }
        if let Some(format) = report.format {
            self.row("format", format_name(format));
            if let Some(id) = &report.id {
                let label = match format {
                    Format::StandardWebhooks => "id",
                    Format::Verbex => "trace id",
                };
                self.row(label, id);
            }
        }
        if let Some(timestamp) = report.timestamp {
            self.row("sent", &sent(timestamp, report.age));
        }
        let genuine = report.matching_secrets().next().is_some();
        for (number, signature) in (1..).zip(&report.signatures) {
            self.row(
                &format!("signature {number}"),
                &of_signature(signature, genuine),
            );
        }
        for (number, secret) in (1..).zip(&report.secrets) {
            let place = places
                .get(number - 1)
                .map(|place| format!(" ({place})"))
                .unwrap_or_default();
            let text = format!(
                "{}{place}: {}",
                secret.fingerprint,
                of_secret(&secret.outcome, genuine)
            );
            self.row(&format!("secret {number}"), &text);
        }
    }
}

fn sent(timestamp: i64, age: Option<i64>) -> String {
    let at = Timestamp::from_millis(timestamp.saturating_mul(1000));
    let distance = |age: i64| span(std::time::Duration::from_secs(age.unsigned_abs()));
    match age {
        None => format!("{at} ({timestamp})"),
        Some(age) if age < 0 => format!("{at} ({timestamp}), {} in the future", distance(age)),
        Some(age) => format!("{at} ({timestamp}), {} ago", distance(age)),
    }
}

/// Describes a signature. When another signature matches, the request is genuine, so one that does
/// not match was made with a secret that was not given.
fn of_signature(signature: &SignatureReport, genuine: bool) -> String {
    match signature {
        SignatureReport::Matched(secrets) => {
            format!("v1, made with {}", numbered("secret", secrets))
        }
        SignatureReport::NotMatched if genuine => {
            "v1, made with a secret that is not given here, as in a grace period".to_owned()
        }
        SignatureReport::NotMatched => "v1, matches no secret".to_owned(),
        SignatureReport::NotTried => "v1, not compared".to_owned(),
        SignatureReport::OtherScheme(scheme) => format!("{scheme}, unknown here and ignored"),
        SignatureReport::Malformed(problem) => format!("malformed: {problem}"),
    }
}

fn of_secret(outcome: &SecretOutcome, genuine: bool) -> String {
    match outcome {
        SecretOutcome::Matched(signatures) => {
            format!("made {}", numbered("signature", signatures))
        }
        SecretOutcome::NotMatched if genuine => {
            "made none of the signatures: it is retired, or not in use yet".to_owned()
        }
        SecretOutcome::NotMatched => "made none of the signatures".to_owned(),
        SecretOutcome::NotTried => "not compared".to_owned(),
        SecretOutcome::Malformed(malformed) => format!("malformed: {malformed}"),
    }
}

/// Formats a noun with its numbers: `secret 1`, `secrets 1 and 3`.
fn numbered(noun: &str, numbers: &[usize]) -> String {
    let texts: Vec<_> = numbers.iter().map(usize::to_string).collect();
    match texts.as_slice() {
        [one] => format!("{noun} {one}"),
        many => format!("{noun}s {}", many.join(" and ")),
    }
}

/// Returns the headline of a report.
pub(super) fn headline(report: &Report) -> String {
    if !report.verified() {
        return "NOT verified".to_owned();
    }
    let secrets: Vec<_> = report.matching_secrets().collect();
    format!("verified with {}", numbered("secret", &secrets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_wrap_at_80_columns_and_keep_every_word() {
        let words = "word ".repeat(60);
        let mut rows = Rows::default();
        rows.row("signature 10", words.trim());
        rows.row("id", &"x".repeat(200));
        let text = rows.into_text();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("  signature 10 word"), "{text}");
        assert!(lines[1].starts_with("               word"), "{text}");
        let wrapped = &lines[..lines.len() - 1];
        assert!(wrapped.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 60);
        // A word that is longer than a line is not cut, so that an id can be copied.
        assert_eq!(lines.last().map(|line| line.len()), Some(INDENT + 200));
    }

    #[test]
    fn a_list_of_numbers_reads_as_a_sentence() {
        assert_eq!(numbered("secret", &[2]), "secret 2");
        assert_eq!(numbered("signature", &[1, 3]), "signatures 1 and 3");
    }
}
