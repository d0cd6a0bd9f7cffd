//! Lets other threads wake the tasks of a core.
//!
//! Waking a task from outside its runtime takes a system call, whether or not the runtime sleeps.
//! The writer of a durable store answers many requests at once. So it puts their wakers here, and
//! one call wakes the core for all of them.

use std::cell::Cell;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::sync::Notify;

thread_local! {
    /// The number of the mailbox that this thread empties; 0 for none.
    static OF_THREAD: Cell<usize> = const { Cell::new(0) };
}

/// The tasks that a single-threaded runtime must wake.
#[derive(Debug)]
pub(super) struct Mailbox {
    number: usize,
    waiting: Mutex<Vec<Waker>>,
    bell: Notify,
}

impl Default for Mailbox {
    fn default() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            waiting: Mutex::default(),
            bell: Notify::new(),
        }
    }
}

impl Mailbox {
    /// Marks the calling thread as the runtime's thread.
    pub fn is_of_this_thread(&self) {
        OF_THREAD.set(self.number);
    }

    /// Wakes the tasks that other threads put in the mailbox, for ever.
    pub async fn empty_always(&self) {
        let mut woken = Vec::new();
        loop {
            self.bell.notified().await;
            mem::swap(&mut woken, &mut self.waiting.lock());
            woken.drain(..).for_each(Waker::wake);
        }
    }

    fn put(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock();
        let is_first = waiting.is_empty();
        waiting.push(waker.clone());
        drop(waiting);
        if is_first {
            self.bell.notify_one();
        }
    }
}

pin_project! {
    /// A task that other threads wake through a mailbox, if there is one.
    pub(super) struct Reachable<F> {
        mailbox: Option<Arc<Mailbox>>,
        // The task's own waker, and the waker with which it is polled.
        wakers: Option<(Waker, Waker)>,
        #[pin]
        task: F,
    }
}

impl<F> Reachable<F> {
    pub fn new(mailbox: Option<Arc<Mailbox>>, task: F) -> Self {
        Self {
            mailbox,
            wakers: None,
            task,
        }
    }
}

impl<F: Future> Future for Reachable<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(mailbox) = this.mailbox else {
            return this.task.poll(cx);
        };
        // The runtime polls a task with the same waker each time.
        let known = this.wakers.take();
        let known = known.filter(|(own, _)| own.will_wake(cx.waker()));
        let (_, waker) = this.wakers.insert(known.unwrap_or_else(|| {
            let task = cx.waker().clone();
            let address = Address {
                mailbox: Arc::clone(mailbox),
                task: task.clone(),
            };
            (task, Arc::new(address).into())
        }));
        this.task.poll(&mut Context::from_waker(waker))
    }
}

/// A waker that goes through the mailbox unless it is used on the runtime's thread.
struct Address {
    mailbox: Arc<Mailbox>,
    task: Waker,
}

impl Wake for Address {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if OF_THREAD.get() == self.mailbox.number {
            self.task.wake_by_ref();
        } else {
            self.mailbox.put(&self.task);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use crate::cores::Threads;

    #[test]
    fn a_task_is_woken_from_its_own_thread_and_from_others() {
        let threads = Threads::start_some(2).expect("threads");
        let (done, all_done) = mpsc::channel();
        let mut ends = Vec::new();
        for core in threads.cores().iter() {
            for _ in 0..100 {
                let (end, ended) = oneshot::channel();
                let (local_end, local_ended) = oneshot::channel();
                ends.push(end);
                core.spawn(async move {
                    ended.await.expect("the other thread ends it");
                    local_end.send(()).expect("the other task waits");
                });
                let done = done.clone();
                core.spawn(async move {
                    local_ended.await.expect("the other task ends it");
                    done.send(()).expect("the test waits");
                });
            }
        }
        thread::spawn(move || {
            for end in ends {
                end.send(()).expect("a task");
            }
        });
        for _ in 0..200 {
            all_done
                .recv_timeout(Duration::from_secs(30))
                .expect("each task is woken");
        }
        threads.stop(Duration::from_secs(30));
    }
}
