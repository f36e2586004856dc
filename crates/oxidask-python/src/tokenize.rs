//! Content hashes of Python objects: equal content, equal token, in every process and run.
//!
//! An object is turned into a stream of bytes in which every value starts with its type's tag and
//! every variable part with its length, so that no two different values share a stream. Containers
//! and objects are hashed on their own (a Merkle tree): what is shared is hashed once, and entries
//! of dicts and sets are put in the order of their digests. The walk keeps its own stack, so depth
//! is limited by memory only.
//!
//! What this module does not know is described by `oxidask.tokenize._describe` in plain Python
//! values, which are hashed in its place.
//!
//! Cycles: the first pass finds the objects that lead to a cycle. When there are any, a second
//! pass writes the first visit of such an object as its content, and each further visit as the
//! number of that first visit. The tokens of cyclic objects therefore depend on what is shared
//! among them; those of all others do not.

mod atom;
mod buffer;
mod numpy;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::vec::IntoIter;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyByteArray, PyBytes, PyCFunction, PyDict, PyFrozenSet, PyFunction, PyList, PyMemoryView,
    PyRange, PySet, PySlice, PyString, PyTuple, PyType,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use atom::Tag;

use crate::by_address::ByAddress;
use crate::contents;

/// Bytes of one open container that are collected before they go into its hash.
const FLUSH_BYTES: usize = 64 << 10;

/// Values visited between two looks for Ctrl-C.
const VISITS_BETWEEN_SIGNAL_CHECKS: u32 = 1 << 16;

/// The content hash of `objects`, in order.
///
/// With `ensure_deterministic` an object without a rule is a `TokenizationError`; without, it gets
/// a random token; `None` asks the configuration.
pub(crate) fn token<'py>(
    py: Python<'py>,
    objects: &[Bound<'py, PyAny>],
    ensure_deterministic: Option<bool>,
) -> PyResult<u128> {
    token_of_call(py, objects, None, ensure_deterministic)
}

/// The content hash of positional and keyword arguments, as 32 hexadecimal digits.
#[pyfunction]
#[pyo3(signature = (args, kwargs=None, ensure_deterministic=None))]
pub(crate) fn tokenize_objects<'py>(
    py: Python<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    ensure_deterministic: Option<bool>,
) -> PyResult<String> {
    let digest = match kwargs {
        None => token(py, args.as_slice(), ensure_deterministic)?,
        Some(_) => token_of_call(py, args.as_slice(), kwargs, ensure_deterministic)?,
    };
    Ok(hexadecimal(digest))
}

/// 32 digits; several times quicker than `format!`, which a token of a small value would notice.
fn hexadecimal(digest: u128) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    digest
        .to_be_bytes()
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Says which exact types have a handler of the user, and whether `numpy`'s may have one:
/// these are described by Python instead of being hashed here.
#[pyfunction]
pub(crate) fn set_token_overrides(types: Vec<Py<PyType>>, numpy: bool) {
    let new = Some(Arc::new(Overrides { types, numpy }));
    // Objects are not dropped under a lock.
    let old = std::mem::replace(&mut *OVERRIDES.write().expect(NO_PANIC), new);
    ARE_THERE_OVERRIDES.store(true, Ordering::Release);
    drop(old);
}

fn token_of_call<'py>(
    py: Python<'py>,
    args: &[Bound<'py, PyAny>],
    kwargs: Option<&Bound<'py, PyDict>>,
    ensure_deterministic: Option<bool>,
) -> PyResult<u128> {
    let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
    if kwargs.is_none() {
        let mut bytes = Vec::with_capacity(128);
        if write_flat(&mut bytes, Tag::Call, args.len(), args.iter().cloned(), false)? {
            return Ok(xxh3_128(&bytes));
        }
    }
    let mut walker = Walker::new(py, ensure_deterministic);
    let digest = walker.digest_call(args, kwargs)?;
    if walker.custom_pickled.is_empty() || walker.random {
        return Ok(digest);
    }
    // Code of the user took part in the description: believe it when it says the same again.
    let mut again = Walker::new(py, ensure_deterministic);
    if again.digest_call(args, kwargs)? == digest {
        return Ok(digest);
    }
    let replacement = python_hook(py, "_describe_unstable")?
        .call1((find_unstable(&walker.custom_pickled)?, ensure_deterministic))?
        .cast_into::<PyBytes>()?;
    Ok(xxh3_128(replacement.as_bytes()))
}

/// The innermost object whose token is not the same twice.
fn find_unstable<'py>(objects: &[Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyAny>> {
    for object in objects.iter().rev() {
        let args = std::slice::from_ref(object);
        let digest_once = || Walker::new(object.py(), Some(false)).digest_call(args, None);
        if digest_once()? != digest_once()? {
            return Ok(object.clone());
        }
    }
    Ok(objects[0].clone())
}

/// Containers up to this length are first tried as ones that hold atoms only.
const FLAT_LENGTH: usize = 16;

/// Writes a short container of atoms at once, as the walk would; `false`, with nothing written,
/// for any other.
fn write_flat<'py>(
    bytes: &mut Vec<u8>,
    tag: Tag,
    length: usize,
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    raw: bool,
) -> PyResult<bool> {
    if length > FLAT_LENGTH {
        return Ok(false);
    }
    let start = bytes.len();
    atom::tag(bytes, tag);
    atom::length(bytes, length);
    for item in items {
        if (!raw && is_overridden(&item)) || !atom::write(bytes, &item)? {
            bytes.truncate(start);
            return Ok(false);
        }
    }
    Ok(true)
}

/// Types whose fast path is off.
struct Overrides {
    types: Vec<Py<PyType>>,
    numpy: bool,
}

static OVERRIDES: RwLock<Option<Arc<Overrides>>> = RwLock::new(None);

/// False until a handler is registered, which costs each value nothing but this look.
static ARE_THERE_OVERRIDES: AtomicBool = AtomicBool::new(false);

const NO_PANIC: &str = "nothing panics while the lock of the overrides is held";

fn is_overridden(object: &Bound<'_, PyAny>) -> bool {
    if !ARE_THERE_OVERRIDES.load(Ordering::Acquire) {
        return false;
    }
    let Some(overrides) = OVERRIDES.read().expect(NO_PANIC).clone() else {
        return false;
    };
    let object_type = object.get_type();
    overrides.types.iter().any(|one| object_type.is(one))
        || (overrides.numpy && numpy::is_numpy(object))
}

fn python_hook<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("oxidask.tokenize")?.getattr(name)
}

type Answer<'py> = (Bound<'py, PyString>, Bound<'py, PyAny>, bool, bool, bool);

/// Asks Python; with `only_handlers` there may be no answer.
fn describe<'py>(
    object: &Bound<'py, PyAny>,
    ensure_deterministic: Option<bool>,
    only_handlers: bool,
) -> PyResult<Option<Answer<'py>>> {
    static DESCRIBE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    DESCRIBE
        .get_or_try_init(py, || python_hook(py, "_describe").map(Bound::unbind))?
        .bind(py)
        .call1((object, ensure_deterministic, only_handlers))?
        .extract()
}

/// What Python says about an object: the items of `_describe`'s result.
struct Description<'py> {
    label: Bound<'py, PyString>,
    payload: Bound<'py, PyAny>,
    /// The payload comes from a handler: handlers of builtin types do not apply within it.
    raw: bool,
    custom_pickling: bool,
    random: bool,
}

/// How far the walk is with one object.
#[derive(Clone, Copy)]
enum Progress {
    Open,
    Done(u128),
    LeadsToCycle,
}

struct Visit<'py> {
    progress: Progress,
    /// Keeps the address from being used again while it is a key.
    _alive: Bound<'py, PyAny>,
}

/// Values still to be visited in one container.
enum Children<'py> {
    List {
        list: Bound<'py, PyList>,
        next: usize,
        length: usize,
    },
    Tuple {
        tuple: Bound<'py, PyTuple>,
        next: usize,
    },
    Ordered(IntoIter<Bound<'py, PyAny>>),
    /// Elements of a set: their digests are sorted at the end.
    Elements {
        left: IntoIter<Bound<'py, PyAny>>,
        digests: Vec<u128>,
    },
    /// Keys of a dict: the values follow, in the order of the keys' digests.
    Keys {
        left: IntoIter<(Bound<'py, PyAny>, Bound<'py, PyAny>)>,
        value: Option<Bound<'py, PyAny>>,
        entries: Vec<(u128, Bound<'py, PyAny>)>,
    },
}

impl<'py> Children<'py> {
    fn next(&mut self) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Children::List { list, next, length } => {
                if next == length {
                    return Ok(None);
                }
                *next += 1;
                list.get_item(*next - 1).map(Some).map_err(|_| {
                    pyo3::exceptions::PyRuntimeError::new_err(format!(
                        "tokenize: a list became shorter than its {length} items while it was \
                         hashed; do not change arguments from another thread"
                    ))
                })
            }
            Children::Tuple { tuple, next } => {
                if *next == tuple.len() {
                    return Ok(None);
                }
                *next += 1;
                tuple.get_item(*next - 1).map(Some)
            }
            Children::Ordered(left) | Children::Elements { left, .. } => Ok(left.next()),
            Children::Keys { left, value, .. } => Ok(left.next().map(|(key, its_value)| {
                *value = Some(its_value);
                key
            })),
        }
    }
}

/// One open container. Its bytes are the last ones of the walker's buffer.
struct Frame<'py> {
    address: usize,
    start: usize,
    hasher: Option<Box<Xxh3>>,
    raw: bool,
    leads_to_cycle: bool,
    children: Children<'py>,
}

struct Walker<'py> {
    py: Python<'py>,
    ensure_deterministic: Option<bool>,
    bytes: Vec<u8>,
    frames: Vec<Frame<'py>>,
    visits: ByAddress<Visit<'py>>,
    descriptions: ByAddress<Description<'py>>,
    /// Number of the first visit, in the second pass over cyclic objects.
    numbers: Option<ByAddress<u64>>,
    /// Objects that said with code of the user what pickle takes.
    custom_pickled: Vec<Bound<'py, PyAny>>,
    random: bool,
}

impl<'py> Walker<'py> {
    fn new(py: Python<'py>, ensure_deterministic: Option<bool>) -> Self {
        Walker {
            py,
            ensure_deterministic,
            bytes: Vec::with_capacity(256),
            frames: Vec::new(),
            visits: ByAddress::default(),
            descriptions: ByAddress::default(),
            numbers: None,
            custom_pickled: Vec::new(),
            random: false,
        }
    }

    fn digest_call(
        &mut self,
        args: &[Bound<'py, PyAny>],
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<u128> {
        if let Some(digest) = self.walk(args, kwargs)? {
            return Ok(digest);
        }
        self.numbers = Some(ByAddress::default());
        let digest = self.walk(args, kwargs)?;
        Ok(digest.expect("the second pass follows no cycle"))
    }

    /// One pass; `None` when it met a cycle.
    fn walk(
        &mut self,
        args: &[Bound<'py, PyAny>],
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<u128>> {
        let mut objects = args.to_vec();
        objects.extend(kwargs.map(|kwargs| kwargs.clone().into_any()));
        let tag = if kwargs.is_some() { Tag::CallWithKeywords } else { Tag::Call };
        self.open(0, tag, objects.len(), false, Children::Ordered(objects.into_iter()));
        let mut visits_left = VISITS_BETWEEN_SIGNAL_CHECKS;
        loop {
            let frame = self.frames.last_mut().expect("the call's frame ends the loop");
            if let Some(child) = frame.children.next()? {
                visits_left -= 1;
                if visits_left == 0 {
                    self.py.check_signals()?;
                    visits_left = VISITS_BETWEEN_SIGNAL_CHECKS;
                }
                self.visit(&child)?;
                continue;
            }
            if self.turn_from_keys_to_values() {
                continue;
            }
            let (frame, digest) = self.close();
            let Some(parent) = self.frames.last_mut() else {
                return Ok((!frame.leads_to_cycle).then_some(digest));
            };
            parent.leads_to_cycle |= frame.leads_to_cycle;
            if self.numbers.is_none() {
                let visit = self.visits.get_mut(&frame.address);
                visit.expect("an open container was entered").progress = if frame.leads_to_cycle {
                    Progress::LeadsToCycle
                } else {
                    Progress::Done(digest)
                };
            }
            self.deliver(digest);
        }
    }

    fn open(
        &mut self,
        address: usize,
        tag: Tag,
        length: usize,
        raw: bool,
        children: Children<'py>,
    ) {
        let start = self.bytes.len();
        atom::tag(&mut self.bytes, tag);
        atom::length(&mut self.bytes, length);
        self.frames.push(Frame {
            address,
            start,
            hasher: None,
            raw,
            leads_to_cycle: false,
            children,
        });
    }

    /// Writes the keys of a finished dict in the order of their digests; its values come next.
    fn turn_from_keys_to_values(&mut self) -> bool {
        let frame = self.frames.last_mut().expect("called with an open frame");
        let Children::Keys { entries, .. } = &mut frame.children else {
            return false;
        };
        let mut entries = std::mem::take(entries);
        entries.sort_by_key(|(digest, _)| *digest);
        for (digest, _) in &entries {
            self.bytes.extend_from_slice(&digest.to_le_bytes());
        }
        let values: Vec<_> = entries.into_iter().map(|(_, value)| value).collect();
        frame.children = Children::Ordered(values.into_iter());
        true
    }

    fn close(&mut self) -> (Frame<'py>, u128) {
        let mut frame = self.frames.pop().expect("called with an open frame");
        if let Children::Elements { digests, .. } = &mut frame.children {
            digests.sort_unstable();
            for digest in digests {
                self.bytes.extend_from_slice(&digest.to_le_bytes());
            }
        }
        let rest = &self.bytes[frame.start..];
        let digest = match &mut frame.hasher {
            None => xxh3_128(rest),
            Some(hasher) => {
                hasher.update(rest);
                hasher.digest128()
            }
        };
        self.bytes.truncate(frame.start);
        (frame, digest)
    }

    /// Gives the digest of a finished value to the container around it.
    fn deliver(&mut self, digest: u128) {
        let frame = self.frames.last_mut().expect("a value has a container");
        match &mut frame.children {
            Children::Elements { digests, .. } => digests.push(digest),
            Children::Keys { value, entries, .. } => {
                entries.push((digest, value.take().expect("a key was taken with its value")));
            }
            _ => {
                atom::tag(&mut self.bytes, Tag::Nested);
                self.bytes.extend_from_slice(&digest.to_le_bytes());
                self.flush();
            }
        }
    }

    /// Takes in a value written whole at the end of the buffer, from `start` on.
    fn deliver_written(&mut self, start: usize) {
        let frame = self.frames.last().expect("a value has a container");
        if matches!(frame.children, Children::Elements { .. } | Children::Keys { .. }) {
            let digest = xxh3_128(&self.bytes[start..]);
            self.bytes.truncate(start);
            self.deliver(digest);
        } else {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let frame = self.frames.last_mut().expect("a value has a container");
        if self.bytes.len() - frame.start < FLUSH_BYTES {
            return;
        }
        let hasher = frame.hasher.get_or_insert_with(|| Box::new(Xxh3::new()));
        hasher.update(&self.bytes[frame.start..]);
        self.bytes.truncate(frame.start);
    }

    fn visit(&mut self, object: &Bound<'py, PyAny>) -> PyResult<()> {
        let raw = self.frames.last().expect("a value has a container").raw;
        let overridden = !raw && is_overridden(object);
        let start = self.bytes.len();
        if !overridden && atom::write(&mut self.bytes, object)? {
            self.deliver_written(start);
            return Ok(());
        }
        if !overridden && self.visit_flat(object, raw)? {
            return Ok(());
        }
        // In the output of a handler the same object may mean another thing.
        let address = object.as_ptr() as usize | usize::from(raw);
        if let Some(visit) = self.visits.get(&address) {
            match (visit.progress, self.numbers.is_some()) {
                (Progress::Done(digest), _) => {
                    self.deliver(digest);
                    return Ok(());
                }
                (Progress::Open | Progress::LeadsToCycle, false) => {
                    let frame = self.frames.last_mut().expect("a value has a container");
                    frame.leads_to_cycle = true;
                    self.deliver(0);
                    return Ok(());
                }
                (Progress::Open | Progress::LeadsToCycle, true) => {
                    if self.deliver_number(object, address)? {
                        return Ok(());
                    }
                }
            }
        } else {
            let visit = Visit { progress: Progress::Open, _alive: object.clone() };
            self.visits.insert(address, visit);
        }
        if overridden {
            return self.visit_described(object, address, raw, true);
        }
        self.visit_known(object, address, raw)
    }

    /// Takes in a short list or tuple of atoms without remembering it: it is as quick to hash
    /// again, and there may be millions.
    fn visit_flat(&mut self, object: &Bound<'py, PyAny>, raw: bool) -> PyResult<bool> {
        let start = self.bytes.len();
        let bytes = &mut self.bytes;
        let is_flat = if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            write_flat(bytes, Tag::Tuple, tuple.len(), tuple.iter(), raw)?
        } else if let Ok(list) = object.cast_exact::<PyList>() {
            write_flat(bytes, Tag::List, list.len(), list.iter(), raw)?
        } else {
            false
        };
        if is_flat {
            let digest = xxh3_128(&self.bytes[start..]);
            self.bytes.truncate(start);
            self.deliver(digest);
        }
        Ok(is_flat)
    }

    /// In the second pass: writes the number of an object met before, and `false` for a new one.
    fn deliver_number(&mut self, object: &Bound<'py, PyAny>, address: usize) -> PyResult<bool> {
        let frame = self.frames.last().expect("a value has a container");
        if matches!(frame.children, Children::Elements { .. } | Children::Keys { .. }) {
            // Numbers follow the order of visits, and entries of a set have none.
            let replacement = python_hook(self.py, "_describe_cyclic_key")?
                .call1((object, self.ensure_deterministic))?
                .cast_into::<PyBytes>()?;
            self.random = true;
            self.deliver(xxh3_128(replacement.as_bytes()));
            return Ok(true);
        }
        let numbers = self.numbers.as_mut().expect("called in the second pass");
        let Some(number) = numbers.get(&address) else {
            let number = numbers.len() as u64;
            numbers.insert(address, number);
            return Ok(false);
        };
        atom::tag(&mut self.bytes, Tag::SeenBefore);
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self.flush();
        Ok(true)
    }

    /// An object of a type that is hashed here; any other is described by Python.
    fn visit_known(
        &mut self,
        object: &Bound<'py, PyAny>,
        address: usize,
        raw: bool,
    ) -> PyResult<()> {
        if let Ok(tuple) = object.cast_exact::<PyTuple>() {
            let children = Children::Tuple { tuple: tuple.clone(), next: 0 };
            self.open(address, Tag::Tuple, tuple.len(), raw, children);
        } else if let Ok(list) = object.cast_exact::<PyList>() {
            let length = list.len();
            let children = Children::List { list: list.clone(), next: 0, length };
            self.open(address, Tag::List, length, raw, children);
        } else if let Ok(dict) = object.cast_exact::<PyDict>() {
            let entries = contents::entries(dict)?;
            let length = entries.len();
            let children = Children::Keys {
                left: entries.into_iter(),
                value: None,
                entries: Vec::with_capacity(length),
            };
            self.open(address, Tag::Dict, length, raw, children);
        } else if let Ok(set) = object.cast_exact::<PySet>() {
            self.open_set(address, Tag::Set, raw, contents::elements(set)?);
        } else if let Ok(set) = object.cast_exact::<PyFrozenSet>() {
            self.open_set(address, Tag::FrozenSet, raw, set.iter().collect());
        } else if object.cast_exact::<PySlice>().is_ok() {
            self.open_bounds(object, address, Tag::Slice, raw)?;
        } else if object.cast_exact::<PyRange>().is_ok() {
            self.open_bounds(object, address, Tag::Range, raw)?;
        } else if is_nameable(object) {
            self.visit_global(object, address, raw)?;
        } else {
            match Self::digest_buffer(object)? {
                Some(digest) => self.finish(address, digest),
                None => self.visit_described(object, address, raw, false)?,
            }
        }
        Ok(())
    }

    /// A value whose digest is known at once.
    fn finish(&mut self, address: usize, digest: u128) {
        let visit = self.visits.get_mut(&address);
        visit.expect("entered on the way in").progress = Progress::Done(digest);
        self.deliver(digest);
    }

    fn digest_buffer(object: &Bound<'_, PyAny>) -> PyResult<Option<u128>> {
        if let Ok(text) = object.cast_exact::<PyString>() {
            return buffer::digest_text(text).map(Some);
        }
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            return buffer::digest_bytes_like(bytes, Tag::Bytes).map(Some);
        }
        if object.cast_exact::<PyByteArray>().is_ok() {
            return buffer::digest_bytes_like(object, Tag::ByteArray).map(Some);
        }
        if let Ok(view) = object.cast_exact::<PyMemoryView>() {
            return buffer::digest_memoryview(view).map(Some);
        }
        numpy::digest(object)
    }

    fn open_set(&mut self, address: usize, tag: Tag, raw: bool, elements: Vec<Bound<'py, PyAny>>) {
        let length = elements.len();
        let children =
            Children::Elements { left: elements.into_iter(), digests: Vec::with_capacity(length) };
        self.open(address, tag, length, raw, children);
    }

    fn open_bounds(
        &mut self,
        object: &Bound<'py, PyAny>,
        address: usize,
        tag: Tag,
        raw: bool,
    ) -> PyResult<()> {
        let bounds = vec![
            object.getattr(intern!(self.py, "start"))?,
            object.getattr(intern!(self.py, "stop"))?,
            object.getattr(intern!(self.py, "step"))?,
        ];
        self.open(address, tag, 3, raw, Children::Ordered(bounds.into_iter()));
        Ok(())
    }

    /// A type or function: by name where an import finds the same object, else by content.
    fn visit_global(
        &mut self,
        object: &Bound<'py, PyAny>,
        address: usize,
        raw: bool,
    ) -> PyResult<()> {
        let Some((module, qualname)) = global_name(object)? else {
            return self.visit_described(object, address, raw, false);
        };
        let start = self.bytes.len();
        let tag = if object.is_instance_of::<PyType>() { Tag::Type } else { Tag::Function };
        atom::tag(&mut self.bytes, tag);
        atom::text(&mut self.bytes, &module)?;
        atom::text(&mut self.bytes, &qualname)?;
        let digest = xxh3_128(&self.bytes[start..]);
        self.bytes.truncate(start);
        self.finish(address, digest);
        Ok(())
    }

    fn visit_described(
        &mut self,
        object: &Bound<'py, PyAny>,
        address: usize,
        raw: bool,
        overridden: bool,
    ) -> PyResult<()> {
        if !self.descriptions.contains_key(&address) {
            let Some(answer) = describe(object, self.ensure_deterministic, overridden)? else {
                // The handlers that made this type's fast path uncertain do not concern it.
                return self.visit_without_override(object, address, raw);
            };
            let (label, payload, raw, custom_pickling, random) = answer;
            let description = Description { label, payload, raw, custom_pickling, random };
            self.descriptions.insert(address, description);
        }
        let description = &self.descriptions[&address];
        if description.custom_pickling {
            self.custom_pickled.push(object.clone());
        }
        self.random |= description.random;
        let raw = description.raw;
        let payload = description.payload.clone();
        let label = description.label.clone();
        let children = Children::Ordered(vec![payload].into_iter());
        self.open(address, Tag::Object, 1, raw, children);
        atom::text(&mut self.bytes, &label)
    }

    fn visit_without_override(
        &mut self,
        object: &Bound<'py, PyAny>,
        address: usize,
        raw: bool,
    ) -> PyResult<()> {
        let start = self.bytes.len();
        if atom::write(&mut self.bytes, object)? {
            let digest = xxh3_128(&self.bytes[start..]);
            self.bytes.truncate(start);
            self.finish(address, digest);
            return Ok(());
        }
        self.visit_known(object, address, raw)
    }
}

fn is_nameable(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyFunction>()
        || object.is_exact_instance_of::<PyCFunction>()
        || object.is_instance_of::<PyType>()
}

/// Module and qualified name of an object, if an import by that name finds this very object.
fn global_name<'py>(
    object: &Bound<'py, PyAny>,
) -> PyResult<Option<(Bound<'py, PyString>, Bound<'py, PyString>)>> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let py = object.py();
    let name = |attribute| -> PyResult<Option<Bound<'py, PyString>>> {
        let value = object.getattr_opt(attribute)?;
        Ok(value.and_then(|value| value.cast_into_exact::<PyString>().ok()))
    };
    let Some(module) = name(intern!(py, "__module__"))? else {
        return Ok(None);
    };
    let Some(qualname) = name(intern!(py, "__qualname__"))? else {
        return Ok(None);
    };
    // The name `__main__` is another module in each process.
    if matches!(module.to_str()?, "__main__" | "__mp_main__") || qualname.to_str()?.contains('<') {
        return Ok(None);
    }
    let modules = MODULES.get_or_try_init(py, || -> PyResult<_> {
        Ok(py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind())
    })?;
    let Some(mut found) = modules.bind(py).get_item(&module)? else {
        return Ok(None);
    };
    for part in qualname.to_str()?.split('.') {
        // Classes may answer with any exception; then the name leads nowhere.
        match found.getattr_opt(part) {
            Ok(Some(next)) => found = next,
            _ => return Ok(None),
        }
    }
    Ok(found.is(object).then_some((module, qualname)))
}
