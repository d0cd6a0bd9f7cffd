//! Collects the output of programs.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::Arc;
use std::time::Instant;
use std::{fmt, thread};

use parking_lot::{Condvar, Mutex};

use crate::{PATIENCE, lossy};

/// A stream of text that a program writes. A thread reads it to its end. Clones share it.
///
/// The stream is always read: a full pipe would stop the program.
#[derive(Clone, Default)]
pub struct Output(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    text: String,
    /// How many bytes of the text [`Output::line`] has returned.
    taken: usize,
    is_over: bool,
}

impl Output {
    /// Starts to read `stream`.
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let of_thread = output.clone();
        thread::spawn(move || of_thread.read(stream));
        output
    }

    /// Starts to read `stream`, or returns an empty output when the stream is not piped.
    pub(crate) fn of_piped(stream: Option<impl Read + Send + 'static>) -> Self {
        stream.map_or_else(
            || {
                let none = Self::default();
                none.0.0.lock().is_over = true;
                none
            },
            Self::of,
        )
    }

    fn read(&self, stream: impl Read) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        let (written, more) = &*self.0;
        while stream
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            written.lock().text.push_str(&lossy(&line));
            more.notify_all();
            line.clear();
        }
        written.lock().is_over = true;
        more.notify_all();
    }

    /// Waits until `find` returns something. Returns `None` when the stream ends first.
    fn find<T>(&self, mut find: impl FnMut(&mut Written) -> Option<T>) -> Option<T> {
        let (written, more) = &*self.0;
        let mut written = written.lock();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(&mut written) {
                return Some(found);
            }
            if written.is_over {
                return None;
            }
            let timeout = more.wait_until(&mut written, deadline).timed_out();
            assert!(!timeout, "timed out waiting for output: {}", written.text);
        }
    }

    /// Waits until `find` returns something for all text so far. Returns `None` when the stream
    /// ends first.
    pub fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.find(|written| find(&written.text))
    }

    /// Waits for a complete line that contains `text`, and returns the first one.
    pub fn line_with(&self, text: &str) -> String {
        let line = self.wait_for(|written| {
            let mut lines = written.split_inclusive('\n');
            let line = lines.find(|line| line.contains(text) && line.ends_with('\n'))?;
            Some(line.trim_end_matches('\n').to_owned())
        });
        line.unwrap_or_else(|| panic!("no line contains {text:?}: {self}"))
    }

    /// Waits for the next line, and returns it without its line break.
    pub fn line(&self) -> String {
        let line = self.find(|written| {
            let rest = &written.text[written.taken..];
            let (line, _) = rest.split_once('\n')?;
            let line = line.to_owned();
            written.taken += line.len() + 1;
            Some(line)
        });
        line.unwrap_or_else(|| panic!("the output has no further line: {self}"))
    }

    /// Waits for the end of the stream, and returns the text that [`Self::line`] has not returned.
    pub fn rest(&self) -> String {
        self.wait_for_end();
        let mut written = self.0.0.lock();
        let rest = written.text[written.taken..].to_owned();
        written.taken = written.text.len();
        rest
    }

    /// Waits for the end of the stream.
    pub fn wait_for_end(&self) {
        let never = self.find(|_| None::<()>);
        assert!(never.is_none());
    }

    /// Returns the log lines at level ERROR so far, of a log in JSON.
    pub fn errors(&self) -> Vec<String> {
        let text = self.to_string();
        let errors = text
            .lines()
            .filter(|line| line.contains(r#""level":"ERROR""#));
        errors.map(ToOwned::to_owned).collect()
    }

    /// Returns how many of [`Self::errors`] contain `part`.
    pub fn errors_with(&self, part: &str) -> usize {
        let errors = self.errors();
        errors.iter().filter(|line| line.contains(part)).count()
    }
}

/// Shows all text so far.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.0.lock().text)
    }
}
