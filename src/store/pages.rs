//! Pages of lists.

/// The most bytes of stored text on a page, unless its first entry has more. A page ends before it
/// exceeds them, so that no list takes long to read and to render.
const MOST_BYTES: usize = 1 << 20;

/// One page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries of this page.
    pub items: Vec<T>,
    /// Whether there are older entries after this page.
    pub has_more: bool,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            has_more: false,
        }
    }
}

/// A page that is being filled, entry by entry.
pub(super) struct Filling<T> {
    page: Page<T>,
    limit: usize,
    bytes: usize,
}

impl<T> Filling<T> {
    /// Begins a page of at most `limit` entries.
    pub fn new(limit: usize) -> Self {
        Self {
            page: Page::default(),
            limit,
            bytes: 0,
        }
    }

    /// Returns whether the next entry, with this many bytes of text, still fits. If not, the page
    /// is full, and says that more entries follow.
    pub fn has_room_for(&mut self, bytes: usize) -> bool {
        let count = self.page.items.len();
        self.bytes = self.bytes.saturating_add(bytes);
        let is_full = count >= self.limit || (count > 0 && self.bytes > MOST_BYTES);
        self.page.has_more |= is_full;
        !is_full
    }

    /// Adds the entry that [fits](Self::has_room_for).
    pub fn add(&mut self, entry: T) {
        self.page.items.push(entry);
    }

    /// Returns the page.
    pub fn page(self) -> Page<T> {
        self.page
    }
}
