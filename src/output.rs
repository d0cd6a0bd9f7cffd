//! Writes text to stdout or stderr in a separate thread, so that nothing else waits for a slow
//! reader.
//!
//! A pipe that nobody reads holds 64 KiB; then a write to it waits, perhaps for ever. Here only the
//! writing thread waits. Text that it cannot write yet is kept in memory up to a limit. Beyond the
//! limit text is dropped and counted, and the count is written when there is room again.
//!
//! Text is written in the pieces in which it came, such as log lines: each whole or not at all, and
//! in order. Pieces that come during a write are joined in the next one, so that a busy log needs
//! few writes.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use parking_lot::{Condvar, Mutex};

/// The most bytes in the queue. Up to as many more may be in the write under way.
const MOST: usize = 1024 * 1024;

/// How many bytes are enough to write without waiting for more.
const ENOUGH: usize = 64 * 1024;

/// The most bytes of one write to anything but a file. Linux writes this many to a pipe whole or
/// not at all (`PIPE_BUF`), so that a process that ends while its pipe is full leaves no partial
/// line in it.
const AT_ONCE: usize = 4096;

/// How long text waits for more, to be written together. Text that comes after a pause does not
/// wait.
const GATHERING: Duration = Duration::from_millis(2);

/// How long to wait before a non-blocking descriptor is tried again.
const AGAIN: Duration = Duration::from_millis(10);

/// A queue of text and the thread that writes it. Clones share the queue.
///
/// Dropping it does not wait for the thread; call [`flush`](Self::flush) for that.
#[derive(Clone)]
pub struct Output(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the thread when there is something to write.
    work: Condvar,
    /// Wakes the callers of `flush` when something was written.
    done: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Pieces,
    /// How many pieces were dropped since the thread last took the queue.
    dropped: u64,
    /// How many pieces were put so far, dropped ones included, and how many of them the thread has
    /// handled.
    put: u64,
    done: u64,
    is_idle: bool,
    is_urgent: bool,
}

/// Texts, one after the other.
#[derive(Default)]
struct Pieces {
    bytes: Vec<u8>,
    /// The end of each piece in `bytes`.
    ends: Vec<usize>,
}

/// The callbacks of the thread.
struct Hooks<N, F> {
    /// Makes the text that says how many pieces were dropped.
    notice: N,
    /// Called with each write error.
    failed: F,
}

impl Output {
    /// Starts the thread, which writes to a copy of the descriptor `to`.
    ///
    /// `notice` makes the text that says how many pieces were dropped. `failed` is called when a
    /// write fails; its pieces count as dropped, and the thread goes on with the next ones.
    ///
    /// # Errors
    ///
    /// When the descriptor cannot be copied or the thread cannot be started.
    pub fn start(
        name: &str,
        to: impl AsFd,
        notice: impl Fn(u64) -> String + Send + 'static,
        failed: impl Fn(&io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        // A copy of the descriptor, since the standard library's handles are locked during a write,
        // and others, such as a panic, would wait for them.
        let file = File::from(to.as_fd().try_clone_to_owned()?);
        let output = Self(Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        }));
        let shared = Arc::clone(&output.0);
        let hooks = Hooks { notice, failed };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || shared.write_to(Target::new(file), &hooks))?;
        Ok(output)
    }

    /// Puts a text in the queue, or drops it if there is no room. It never waits.
    pub fn put(&self, text: &[u8]) {
        let mut queue = self.0.queue.lock();
        let before = queue.waiting.bytes.len();
        if text.len() > MOST - before {
            queue.dropped += 1;
        } else {
            queue.waiting.push(text);
        }
        queue.put += 1;
        let is_enough = before < ENOUGH && queue.waiting.bytes.len() >= ENOUGH;
        if mem::take(&mut queue.is_idle) || is_enough {
            self.0.work.notify_one();
        }
    }

    /// Waits until all that was put so far has been written or counted as dropped, at most for
    /// `within`. Returns whether it has.
    #[expect(
        clippy::must_use_candidate,
        reason = "callers at the end of the program have nothing to do about it"
    )]
    pub fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut queue = self.0.queue.lock();
        let all = queue.put;
        while queue.done < all {
            queue.is_urgent = true;
            self.0.work.notify_one();
            if self.0.done.wait_until(&mut queue, deadline).timed_out() {
                return queue.done >= all;
            }
        }
        true
    }
}

impl Shared {
    /// Runs the writing thread.
    fn write_to(
        &self,
        mut target: Target<File>,
        hooks: &Hooks<impl Fn(u64) -> String, impl Fn(&io::Error)>,
    ) {
        let mut pieces = Pieces::default();
        let mut unsaid = 0;
        loop {
            pieces.clear();
            let dropped = self.take(&mut pieces);
            let lost = target.write_all(&pieces, &hooks.failed);
            unsaid += dropped + lost;
            if unsaid > 0 && lost == 0 {
                let mut notice = Pieces::default();
                notice.push((hooks.notice)(unsaid).as_bytes());
                if target.write_all(&notice, &hooks.failed) == 0 {
                    unsaid = 0;
                }
            }
            self.queue.lock().done += pieces.ends.len() as u64 + dropped;
            self.done.notify_all();
        }
    }

    /// Waits until there is something to write, and swaps it with `pieces`, which is empty. Returns
    /// how many pieces were dropped after it.
    fn take(&self, pieces: &mut Pieces) -> u64 {
        let mut queue = self.queue.lock();
        if !queue.is_urgent && queue.waiting.bytes.len() < ENOUGH {
            self.work.wait_for(&mut queue, GATHERING);
        }
        while queue.waiting.ends.is_empty() && queue.dropped == 0 {
            queue.is_idle = true;
            self.work.wait(&mut queue);
        }
        queue.is_idle = false;
        queue.is_urgent = false;
        mem::swap(&mut queue.waiting, pieces);
        mem::take(&mut queue.dropped)
    }
}

impl Pieces {
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    /// Empties the buffers. They keep the capacity that a busy log needs, but not that of a long
    /// wait.
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * ENOUGH);
        self.ends.clear();
        self.ends.shrink_to(ENOUGH / 64);
    }
}

/// The destination of the text.
struct Target<W> {
    file: W,
    /// The most bytes of one write, unless a piece is longer.
    at_once: usize,
    /// Whether the last write ended inside a piece, as on a full disk.
    is_broken: bool,
}

impl Target<File> {
    fn new(file: File) -> Self {
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Self {
            file,
            at_once: if is_file { ENOUGH } else { AT_ONCE },
            is_broken: false,
        }
    }
}

impl<W: io::Write> Target<W> {
    /// Writes the pieces and returns how many of them could not be written.
    fn write_all(&mut self, pieces: &Pieces, failed: &impl Fn(&io::Error)) -> u64 {
        let mut start = 0;
        let mut ends = pieces.ends.as_slice();
        while let Some(first) = ends.first() {
            // As many whole pieces as fit in one write, but at least one.
            let fitting = ends
                .partition_point(|end| end - start <= self.at_once)
                .max(1);
            let end = ends.get(fitting - 1).unwrap_or(first);
            if let Err((at, error)) = self.write(&pieces.bytes[start..*end]) {
                failed(&error);
                // Pieces that were written whole before the error are not lost.
                let kept = ends.partition_point(|end| *end <= start + at);
                let whole = kept.checked_sub(1).map_or(start, |last| ends[last]);
                self.is_broken |= start + at > whole;
                return (ends.len() - kept) as u64;
            }
            start = *end;
            ends = &ends[fitting..];
        }
        0
    }

    /// Writes all bytes. An error has the number of bytes that were written before it.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut at = 0;
        while at < bytes.len() || self.is_broken {
            // Ends a partial piece first, so that the next one begins on its own line.
            let rest = if self.is_broken { b"\n" } else { &bytes[at..] };
            match self.file.write(rest) {
                Ok(0) => return Err((at, io::ErrorKind::WriteZero.into())),
                Ok(_) if self.is_broken => self.is_broken = false,
                Ok(written) => at += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process that shares the descriptor has made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::park_timeout(AGAIN);
                }
                Err(error) => return Err((at, error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// The last line. The thread keeps its descriptor open, so a reader sees no end of file.
    const END: &str = "end\n";

    fn start(to: impl AsFd) -> Output {
        Output::start("test", to, |count| format!("{count} dropped\n"), |_| {}).expect("a thread")
    }

    /// Makes a line that shows when a part of it is missing.
    fn line(number: usize) -> String {
        format!("{number} is a line of some length, and ends with {number}\n")
    }

    /// Returns the numbers of the lines up to the last one, and how many were reported as dropped.
    fn read(from: impl Read) -> (Vec<usize>, usize) {
        let (mut numbers, mut dropped) = (Vec::new(), 0);
        for text in BufReader::new(from).lines() {
            let text = text.expect("text") + "\n";
            if text == END {
                return (numbers, dropped);
            }
            let (count, rest) = text.split_once(' ').expect("a number");
            let count = count.parse().expect("a number");
            if rest == "dropped\n" {
                dropped += count;
            } else {
                assert_eq!(text, line(count));
                numbers.push(count);
            }
        }
        panic!("it breaks off after {} lines", numbers.len());
    }

    #[test]
    fn what_many_threads_put_comes_out_whole_and_in_order() {
        const EACH: usize = 5000;
        let (reader, writer) = io::pipe().expect("a pipe");
        let output = start(&writer);
        let reading = thread::spawn(|| read(reader));
        let putting: Vec<_> = (0..4)
            .map(|thread| {
                let output = output.clone();
                thread::spawn(move || {
                    for count in 0..EACH {
                        output.put(line(thread * EACH + count).as_bytes());
                        // Flushes now and then, so that there is always room.
                        assert!(count % 1000 > 0 || output.flush(PATIENCE));
                    }
                })
            })
            .collect();
        for thread in putting {
            thread.join().expect("no panic");
        }
        output.put(END.as_bytes());
        let (numbers, dropped) = reading.join().expect("whole lines");
        assert_eq!(dropped, 0);
        for thread in 0..4 {
            let all = thread * EACH..(thread + 1) * EACH;
            let its = numbers
                .iter()
                .copied()
                .filter(|number| all.contains(number));
            assert!(its.eq(all.clone()));
        }
    }

    /// For a pipe, a socket and a non-blocking socket.
    #[test]
    fn nothing_waits_for_a_reader_that_stalls_and_what_is_dropped_is_counted() {
        let pipe = || {
            let (reader, writer) = io::pipe().expect("a pipe");
            (Box::new(reader) as Box<dyn Read + Send>, start(writer))
        };
        let socket = |is_nonblocking: bool| {
            let (reader, writer) = UnixStream::pair().expect("two sockets");
            writer
                .set_nonblocking(is_nonblocking)
                .expect("an open socket");
            (Box::new(reader) as Box<dyn Read + Send>, start(writer))
        };
        for (reader, output) in [pipe(), socket(false), socket(true)] {
            let all = 4 * MOST / line(10_000).len();
            for number in 0..all {
                output.put(line(number).as_bytes());
            }
            assert!(!output.flush(Duration::from_millis(20)));
            {
                let queue = output.0.queue.lock();
                assert!(queue.waiting.bytes.len() <= MOST && queue.dropped > 0);
            }
            let reading = thread::spawn(|| read(reader));
            assert!(output.flush(PATIENCE));
            output.put(END.as_bytes());
            let (numbers, dropped) = reading.join().expect("whole lines");
            assert!(dropped > 0 && numbers.is_sorted());
            assert_eq!(numbers.len() + dropped, all);
        }
    }

    #[test]
    fn a_text_longer_than_the_bound_is_dropped_alone() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let output = start(writer);
        output.put(line(1).as_bytes());
        assert!(output.flush(PATIENCE));
        output.put(&vec![b'x'; MOST + 1]);
        assert!(output.flush(PATIENCE));
        output.put(line(2).as_bytes());
        output.put(END.as_bytes());
        assert_eq!(read(reader), (vec![1, 2], 1));
    }

    #[test]
    fn what_cannot_be_written_is_reported_and_stops_nothing() {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        let (report, reported) = mpsc::channel();
        let failed = move |error: &io::Error| {
            let _ = report.send(error.kind());
        };
        let output = Output::start("test", full, |_| String::new(), failed).expect("a thread");
        for number in 0..3 {
            output.put(line(number).as_bytes());
            assert!(output.flush(PATIENCE));
            assert_eq!(
                reported.recv_timeout(PATIENCE),
                Ok(io::ErrorKind::StorageFull)
            );
        }
    }

    /// A disk with room for a number of bytes.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_full_disk_lines_begin_on_a_line_of_their_own() {
        let mut pieces = Pieces::default();
        for number in 0..9 {
            pieces.push(line(number).as_bytes());
        }
        let length = line(0).len();
        for room in 0..=pieces.bytes.len() {
            let mut target = Target {
                file: Disk {
                    written: Vec::new(),
                    room,
                },
                at_once: 3 * length,
                is_broken: false,
            };
            let lost = target.write_all(&pieces, &|_| {});
            assert_eq!(lost, (9 - room / length) as u64, "{room}");
            target.file.room = 1000;
            assert_eq!(target.write_all(&pieces, &|_| {}), 0);
            let written = String::from_utf8(target.file.written).expect("text");
            let whole = (0..9).map(line).collect::<String>();
            assert!(written.ends_with(&whole), "{written}");
            let first = &written[..written.len() - whole.len()];
            assert!(
                first.is_empty() || first.ends_with('\n'),
                "{room}: {first:?}"
            );
        }
    }
}
