//! Finds how a JSON body was written before a receiver parsed it and wrote it again.
//!
//! A parser keeps the value and loses how it was written: space, escapes, the form of numbers,
//! often the order of names. So this module writes the value as each known JSON writer would, until
//! a signature matches. In the same way it recognises the writer of the body that came.

use super::json::{Escapes, Layout, Manner, Node, NumberForm, Numbers, Style};
use super::report::{Difference, JsonWriter, Rewrite};

/// The names in a body of 2026-03-01, in the order in which they are sent.
const STANDARD: [&str; 7] = [
    "id",
    "type",
    "api_version",
    "delivery_id",
    "created_at",
    "timestamp",
    "data",
];

/// The names in a body of Verbex v1, in the order in which they are sent.
const VERBEX: [&str; 4] = ["event", "traceId", "timestamp", "data"];

/// The most orders of names that are tried: as many as seven names have.
const MOST_ORDERS: usize = 5040;

/// Up to this many numbers, every combination of them is tried. With more, each is tried alone, and
/// all together.
const MOST_CHOSEN: u32 = 8;

const FORMS: [NumberForm; 4] = [
    NumberForm::Point,
    NumberForm::NoPoint,
    NumberForm::Hundredths,
    NumberForm::Exponent,
];

const BY: [&str; 3] = ["  ", "    ", "\t"];

/// The work that a search may still do.
pub(super) struct Budget {
    /// How many bytes may still be signed.
    pub bytes: usize,
    /// How many texts may still be tried.
    pub texts: usize,
}

impl Budget {
    /// Takes the cost of one text. Returns false, and empties the budget, when there is not enough.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let is_enough = self.texts > 0 && self.bytes >= bytes;
        if is_enough {
            self.texts -= 1;
            self.bytes -= bytes;
        } else {
            self.texts = 0;
        }
        is_enough
    }
}

/// Writes the value of `body` in every known way, the likely ones first, until `was_sent` accepts
/// one. Returns `None` when it accepts none, when `body` is not JSON, and when the budget is spent.
pub(super) fn find<T>(
    body: &[u8],
    budget: &mut Budget,
    mut was_sent: impl FnMut(&[u8]) -> Option<T>,
) -> Option<(Rewrite, T)> {
    // A rewritten text may be longer, but not by much.
    if body.len() > budget.bytes {
        return None;
    }
    let came = Node::parse(body)?;
    let styles = styles(&came);
    let is_flat = |(style, data): &(Style, Style)| style.is_flat() && data.is_flat();
    let flat: Vec<_> = styles.iter().copied().filter(is_flat).collect();
    let mut search = |styles: &[(Style, Style)],
                      node: &Node<'_>,
                      numbers: Option<Numbers>,
                      is_reordered: bool| {
        for &(style, data) in styles {
            if budget.texts == 0 {
                return None;
            }
            let manner = Manner {
                style,
                data,
                numbers,
            };
            let text = node.write(&manner);
            if !budget.take(text.len()) {
                return None;
            }
            if let Some(sent) = was_sent(&text) {
                let differences = differences(body, &came, &manner, is_reordered);
                let writer = writer(body, &came);
                return Some((
                    Rewrite {
                        writer,
                        differences,
                    },
                    sent,
                ));
            }
        }
        None
    };

    let mut reordered = Node::parse(body)?;
    let is_out_of_order = put_in_order(&mut reordered);
    let forms: Vec<_> = FORMS
        .into_iter()
        .flat_map(|form| choices(&came, form))
        .collect();
    let as_they_came = [None];
    let in_other_forms: Vec<_> = forms.into_iter().map(Some).collect();
    for numbers in [&as_they_came[..], &in_other_forms] {
        for &numbers in numbers {
            if let Some(found) = search(&styles, &came, numbers, false) {
                return Some(found);
            }
        }
        for &numbers in numbers.iter().filter(|_| is_out_of_order) {
            if let Some(found) = search(&styles, &reordered, numbers, true) {
                return Some(found);
            }
        }
    }
    // A writer that sorts names often also writes every number as a floating-point one.
    let all = Numbers {
        form: NumberForm::Point,
        which: u64::MAX,
    };
    for numbers in [None, Some(all)] {
        for _ in 1..orders_if_sorted(unordered(&mut reordered)) {
            next_order(unordered(&mut reordered));
            if let Some(found) = search(&flat, &reordered, numbers, true) {
                return Some(found);
            }
        }
        // This leads from the last order back to the first.
        next_order(unordered(&mut reordered));
    }
    None
}

/// Returns the ways of writing the value, as pairs: one for the whole and one for the member `data`
/// of the outermost object. A sender may write `data` as it was given to it, and the rest without
/// space.
fn styles(came: &Node<'_>) -> Vec<(Style, Style)> {
    let all = [
        Escapes::Least,
        Escapes::Ascii,
        Escapes::Html,
        Escapes::Php,
        Escapes::DotNet,
    ];
    let escapes: Vec<_> = all
        .into_iter()
        .filter(|escapes| *escapes == Escapes::Least || came.has_for(*escapes))
        .collect();
    let indented = |level| BY.map(|by| Layout::Indented { by, level });
    let layouts = [&[Layout::Compact, Layout::Spaced][..], &indented(0)].concat();
    let of_data = [&layouts[..], &indented(1)].concat();
    let each = |layouts: &[Layout]| -> Vec<_> {
        let of = |layout: &Layout| {
            let layout = *layout;
            escapes
                .iter()
                .map(move |&escapes| Style { layout, escapes })
        };
        layouts.iter().flat_map(of).collect()
    };
    let whole = each(&layouts).into_iter().map(|style| (style, style));
    let has_data =
        matches!(came, Node::Object(members) if members.iter().any(|(name, _)| name == "data"));
    let data = each(&of_data).into_iter().filter(|_| has_data);
    let data = data
        .map(|data| (Style::LEAST, data))
        .filter(|(style, data)| style != data);
    whole.chain(data).collect()
}

/// Returns the combinations of numbers to write in this form, of those that may have had it.
fn choices(came: &Node<'_>, form: NumberForm) -> Vec<Numbers> {
    let mut count = 0;
    came.visit(&mut |node| match node {
        Node::Number(number) if form.of(number).is_some() => count += 1,
        _ => {}
    });
    let which: Vec<u64> = match count {
        0 => Vec::new(),
        1..=MOST_CHOSEN => (1..1 << count).collect(),
        _ => {
            let each = (0..count.min(63)).map(|place| 1 << place);
            [u64::MAX].into_iter().chain(each).collect()
        }
    };
    which
        .into_iter()
        .map(|which| Numbers { form, which })
        .collect()
}

/// Returns the order in which these names are sent, if they are those of a delivery.
fn sent_order(members: &[(String, Node<'_>)]) -> Option<&'static [&'static str]> {
    [&STANDARD[..], &VERBEX].into_iter().find(|order| {
        let is_one = |name: &&str| members.iter().filter(|(known, _)| known == name).count() == 1;
        members.len() == order.len() && order.iter().all(is_one)
    })
}

/// Puts the names of a delivery in the order in which they are sent. Returns whether that changed
/// the order.
fn put_in_order(node: &mut Node<'_>) -> bool {
    let Node::Object(members) = node else {
        return false;
    };
    let Some(order) = sent_order(members) else {
        return false;
    };
    let place = |member: &(String, Node<'_>)| order.iter().position(|name| *name == member.0);
    let is_out_of_order = !members.is_sorted_by_key(place);
    members.sort_by_key(place);
    is_out_of_order
}

/// Returns the part whose order of names is unknown: the data of a delivery, whose own names are in
/// order, or else the whole.
fn unordered<'n, 'a>(node: &'n mut Node<'a>) -> &'n mut Node<'a> {
    let is_delivery = matches!(node, Node::Object(members) if sent_order(members).is_some());
    if !is_delivery {
        return node;
    }
    match node {
        Node::Object(members) => {
            // `data` is the last, since the names are in order.
            let data = members.len() - 1;
            &mut members[data].1
        }
        other => other,
    }
}

/// Returns how many orders the names may have had before they were sorted, or 1 when they are not
/// sorted or there are too many orders.
fn orders_if_sorted(node: &Node<'_>) -> usize {
    let mut orders = Some(1_usize);
    node.visit(&mut |node| {
        if let Node::Object(members) = node {
            let is_sorted = members.is_sorted_by(|a, b| a.0 < b.0);
            for count in 2..=members.len() {
                orders = orders
                    .filter(|_| is_sorted)
                    .map(|orders| orders.saturating_mul(count))
                    .filter(|orders| *orders <= MOST_ORDERS);
            }
        }
    });
    orders.unwrap_or(1)
}

/// Moves to the next order of names. Returns false after the last one, when all names are sorted
/// again.
fn next_order(node: &mut Node<'_>) -> bool {
    match node {
        Node::Array(items) => items.iter_mut().any(next_order),
        Node::Object(members) => {
            members.iter_mut().any(|(_, value)| next_order(value)) || next_permutation(members)
        }
        _ => false,
    }
}

/// Moves to the next permutation by name. After the last it moves to the first and returns false.
fn next_permutation(members: &mut [(String, Node<'_>)]) -> bool {
    let ascends = |pair: &[(String, Node<'_>)]| pair[0].0 < pair[1].0;
    let Some(pivot) = members.windows(2).rposition(ascends) else {
        members.reverse();
        return false;
    };
    let above = members
        .iter()
        .rposition(|(name, _)| *name > members[pivot].0);
    members.swap(pivot, above.unwrap_or(pivot));
    members[pivot + 1..].reverse();
    true
}

/// Returns how the body that came differs from the one that was sent.
fn differences(body: &[u8], came: &Node<'_>, sent: &Manner, is_reordered: bool) -> Vec<Difference> {
    let with_numbers_as_they_came = came.write(&Manner {
        numbers: None,
        ..*sent
    });
    let (sent_text, sent_rest) = split(&with_numbers_as_they_came);
    let (text, rest) = split(body);
    [
        (Difference::Space, rest != sent_rest),
        (Difference::Escapes, text != sent_text),
        (Difference::Numbers, sent.numbers.is_some()),
        (Difference::Order, is_reordered),
    ]
    .into_iter()
    .filter_map(|(difference, is_there)| is_there.then_some(difference))
    .collect()
}

/// Splits a JSON text into its strings and all that is between them.
fn split(json: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut strings, mut between) = (Vec::new(), Vec::new());
    let (mut in_string, mut is_escaped) = (false, false);
    for &byte in json {
        if byte == b'"' && !is_escaped {
            in_string = !in_string;
        }
        is_escaped = in_string && byte == b'\\' && !is_escaped;
        if in_string {
            &mut strings
        } else {
            &mut between
        }
        .push(byte);
    }
    (strings, between)
}

/// Returns the known writer that writes JSON in the way of the body that came.
fn writer(body: &[u8], came: &Node<'_>) -> Option<JsonWriter> {
    // Some writers add a line end.
    let body = body.trim_ascii_end();
    let is_by = |layout, escapes| {
        let style = Style { layout, escapes };
        let manner = Manner {
            style,
            data: style,
            numbers: None,
        };
        came.write(&manner) == body
    };
    let (compact, spaced) = (Layout::Compact, Layout::Spaced);
    let known = [
        (compact, Escapes::Least, JsonWriter::Compact),
        (spaced, Escapes::Ascii, JsonWriter::Python),
        (spaced, Escapes::Least, JsonWriter::PythonUnicode),
        (compact, Escapes::Php, JsonWriter::Php),
        (compact, Escapes::Ascii, JsonWriter::CompactAscii),
        (compact, Escapes::Html, JsonWriter::Go),
        (compact, Escapes::DotNet, JsonWriter::DotNet),
    ];
    let indented = BY.into_iter().flat_map(|by| {
        let layout = Layout::Indented { by, level: 0 };
        [Escapes::Least, Escapes::Ascii].map(|escapes| (layout, escapes, JsonWriter::Indented))
    });
    known
        .into_iter()
        .chain(indented)
        .find_map(|(layout, escapes, writer)| is_by(layout, escapes).then_some(writer))
}
