//! Who may write to the arrays and frames that tasks of one process hand to each other.
//!
//! The only reader of a result gets the object itself. Where there are others, each gets a view that
//! is read-only, or, of a frame, a copy that is made when somebody writes. What users get shares
//! memory with nothing. Objects of other kinds are shared. `_ownership.py` makes views and copies.
#![expect(unsafe_code, reason = "who else has an object is seen from its reference count")]

use pyo3::exceptions::{PyKeyboardInterrupt, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType,
};

/// Whose memory a result has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Others may have it too, and their writing is not prevented; or it is of no kind that matters.
    #[default]
    Shared,
    /// Its alone.
    Own,
    /// That of an input which its task could only read.
    Lent,
}

/// What matters of an object's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Array,
    Frame,
    Container,
    Bytes,
}

/// Whether a value is of a type that cannot be written to: what tasks mostly return.
pub(crate) fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
}

fn kind_of(value: &Bound<'_, PyAny>) -> Option<Kind> {
    if value.is_exact_instance_of::<PyTuple>()
        || value.is_exact_instance_of::<PyList>()
        || value.is_exact_instance_of::<PyDict>()
    {
        return Some(Kind::Container);
    }
    if is_array(value) {
        return Some(Kind::Array);
    }
    if is_frame(value) {
        return Some(Kind::Frame);
    }
    value.is_exact_instance_of::<PyByteArray>().then_some(Kind::Bytes)
}

static ARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();

pub(crate) fn is_array(value: &Bound<'_, PyAny>) -> bool {
    is_of(value, &ARRAY, "numpy", "ndarray")
}

/// Whether an array is of no class derived from `numpy.ndarray`.
pub(crate) fn is_plain(array: &Bound<'_, PyAny>) -> bool {
    ARRAY.get(array.py()).is_some_and(|class| array.get_type().is(class))
}

fn is_frame(value: &Bound<'_, PyAny>) -> bool {
    static FRAME: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static SERIES: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    is_of(value, &FRAME, "pandas", "DataFrame") || is_of(value, &SERIES, "pandas", "Series")
}

/// Whether a value is an instance of a class, by its true type. Nothing is imported: as long as the
/// module is not there, nothing is.
fn is_of(
    value: &Bound<'_, PyAny>,
    known: &PyOnceLock<Py<PyType>>,
    module: &str,
    name: &str,
) -> bool {
    let py = value.py();
    let class = match known.get(py) {
        Some(class) => class,
        None => match loaded(py, module, name) {
            // While a module is being imported it lacks some names.
            None => return false,
            Some(class) => known.get_or_init(py, || class),
        },
    };
    // SAFETY: both are types, and alive.
    unsafe { ffi::PyType_IsSubtype(ffi::Py_TYPE(value.as_ptr()), class.as_ptr().cast()) != 0 }
}

fn loaded(py: Python<'_>, module: &str, name: &str) -> Option<Py<PyType>> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let modules = MODULES.get_or_try_init(py, || {
        let modules = py.import("sys")?.getattr("modules")?;
        Ok::<_, PyErr>(modules.cast_into::<PyDict>()?.unbind())
    });
    let module = modules.ok()?.bind(py).get_item(module).ok()??;
    Some(module.getattr(name).ok()?.cast_into::<PyType>().ok()?.unbind())
}

fn helper<'py>(py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "oxidask._ownership"))?.getattr(name)
}

// ---- What tasks are given ----

/// What a task that runs was given.
#[derive(Default)]
pub(crate) struct Given {
    /// Owners of memory that it may only read; they live as long as its inputs.
    lent: Vec<usize>,
    /// Inputs that are its alone, by their place.
    own: Vec<(u32, Py<PyAny>)>,
}

impl Given {
    /// An input that the task was given as its own before.
    pub(crate) fn own(&self, py: Python<'_>, place: u32) -> Option<Py<PyAny>> {
        let found = self.own.iter().find(|(other, _)| *other == place);
        found.map(|(_, value)| value.clone_ref(py))
    }

    /// Gives the task an input as its own.
    pub(crate) fn give(&mut self, place: u32, value: &Bound<'_, PyAny>) {
        self.own.push((place, value.clone().unbind()));
    }

    /// An input that others may read too, as the task is to see it.
    pub(crate) fn lend<'py>(
        &mut self,
        value: Bound<'py, PyAny>,
        memory: Memory,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        match kind_of(&value) {
            Some(Kind::Array) => {
                // What the user made read-only is not lent: it stays so.
                if memory == Memory::Lent || is_writeable(&value)? {
                    self.lent.push(owner_of(&value)?.0);
                }
                read_only(&value)
            }
            Some(Kind::Frame) => helper(py, intern!(py, "separate_frame"))?.call1((value,)),
            Some(Kind::Container) if memory == Memory::Lent => {
                for array in helper(py, intern!(py, "arrays_in"))?.call1((&value,))?.try_iter()? {
                    let array = array?;
                    if !is_writeable(&array)? {
                        self.lent.push(owner_of(&array)?.0);
                    }
                }
                Ok(value)
            }
            _ => Ok(value),
        }
    }

    /// Whether the task could not write to some input.
    pub(crate) fn is_lent(&self) -> bool {
        !self.lent.is_empty()
    }

    /// What the task returned, as it is to be kept, and whose memory that is.
    ///
    /// If the user's code has it too, and may write to it, a copy is kept; not so for what the
    /// caller of the task has passed to it: `arguments` says which values these are.
    pub(crate) fn settle<'py>(
        self,
        value: Bound<'py, PyAny>,
        arguments: impl FnOnce() -> Vec<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, Memory)> {
        let Self { lent, own } = self;
        // What the task had for itself is now where it has put it.
        drop(own);
        match kind_of(&value) {
            Some(Kind::Array) => settle_array(value, &lent, arguments),
            Some(Kind::Frame) if is_held_once(value.py(), value.as_ptr()) => {
                Ok((value, Memory::Own))
            }
            Some(Kind::Frame) => {
                let py = value.py();
                let own = helper(py, intern!(py, "separate_frame"))?.call1((value,))?;
                Ok((own, Memory::Own))
            }
            Some(Kind::Container) if !lent.is_empty() => {
                let py = value.py();
                let arrays = helper(py, intern!(py, "arrays_in"))?.call1((&value,))?;
                for array in arrays.try_iter()? {
                    if lent.contains(&owner_of(&array?)?.0) {
                        return Ok((value, Memory::Lent));
                    }
                }
                Ok((value, Memory::Shared))
            }
            _ => Ok((value, Memory::Shared)),
        }
    }
}

fn settle_array<'py>(
    value: Bound<'py, PyAny>,
    lent: &[usize],
    arguments: impl FnOnce() -> Vec<Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Memory)> {
    // What was lent has another holder, too.
    if has_its_memory_alone(&value)? {
        return Ok((value, Memory::Own));
    }
    let (owner, is_known) = owner_of(&value)?;
    if lent.contains(&owner) {
        return Ok((value, Memory::Lent));
    }
    // Memory of files and of other libraries is shared by whoever opened it.
    if !is_known || !is_writeable(&value)? {
        return Ok((value, Memory::Shared));
    }
    for argument in arguments() {
        if is_array(&argument) && owner_of(&argument)?.0 == owner {
            return Ok((value, Memory::Shared));
        }
    }
    Ok((copy_of(&value)?, Memory::Own))
}

// ---- What users get ----

/// A result as it goes to the user: writeable as it was when its task returned it, and with memory
/// that nobody else has. `is_untouched` says that it was never given to anybody.
pub(crate) fn come_out(
    value: Bound<'_, PyAny>,
    memory: Memory,
    is_untouched: bool,
) -> PyResult<Bound<'_, PyAny>> {
    if is_scalar(&value) {
        return Ok(value);
    }
    let py = value.py();
    match (kind_of(&value), memory) {
        (Some(Kind::Array), Memory::Own) => {
            if is_untouched || !is_writeable(&value)? || has_its_memory_alone(&value)? {
                return Ok(value);
            }
            copy_of(&value)
        }
        (Some(Kind::Array), Memory::Lent) => copy_of(&value),
        (Some(Kind::Array), Memory::Shared) => {
            if owner_of(&value)?.1 && is_writeable(&value)? {
                copy_of(&value)
            } else {
                Ok(value)
            }
        }
        (Some(Kind::Frame), Memory::Own) if is_untouched || is_held_once(py, value.as_ptr()) => {
            Ok(value)
        }
        (Some(Kind::Frame), _) => helper(py, intern!(py, "separate_frame"))?.call1((value,)),
        (Some(Kind::Container), Memory::Lent) => {
            helper(py, intern!(py, "own_container"))?.call1((value,))
        }
        (Some(Kind::Bytes), _) if !is_held_once(py, value.as_ptr()) => {
            py.get_type::<PyByteArray>().call1((value,))
        }
        _ => Ok(value),
    }
}

/// A copy for what users scatter, or for those who are only told of a result: its memory is its
/// own, and it may be written to if `value` may.
pub(crate) fn separate<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    match kind_of(value) {
        Some(Kind::Array) if owner_of(value)?.1 => {
            let copy = copy_of(value)?;
            if !is_writeable(value)? && !copy.is(value) {
                copy.call_method1(intern!(py, "setflags"), (false,))?;
            }
            Ok(copy)
        }
        Some(Kind::Frame) => helper(py, intern!(py, "separate_frame"))?.call1((value,)),
        _ => Ok(value.clone()),
    }
}

/// Says in a note what to do, if an error of a task that was lent an input says that it is read-only.
pub(crate) fn with_cure(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyValueError>(py) && !error.is_instance_of::<PyTypeError>(py) {
        return error;
    }
    let note = || helper(py, intern!(py, "with_cure"))?.call1((error.value(py),));
    match note() {
        Err(interrupt) if interrupt.is_instance_of::<PyKeyboardInterrupt>(py) => interrupt,
        // An exception that cannot be annotated is still the exception.
        _ => error,
    }
}

// ---- Arrays ----

pub(crate) fn is_writeable(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    flag(array, intern!(array.py(), "writeable"))
}

fn flag(array: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    array.getattr(intern!(array.py(), "flags"))?.getattr(name)?.extract()
}

/// A view through which nobody writes.
fn read_only<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    if !is_plain(array) {
        return helper(py, intern!(py, "read_only_array"))?.call1((array,));
    }
    let view = array.call_method0(intern!(py, "view"))?;
    view.call_method1(intern!(py, "setflags"), (false,))?;
    Ok(view)
}

fn copy_of<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = array.py();
    if is_plain(array) && is_writeable(array)? {
        return array.call_method1(intern!(py, "copy"), (intern!(py, "K"),));
    }
    helper(py, intern!(py, "own_array"))?.call1((array,))
}

/// What owns the memory of an array, as its address, and whether that is an array itself.
fn owner_of(array: &Bound<'_, PyAny>) -> PyResult<(usize, bool)> {
    let py = array.py();
    let mut owner = array.clone();
    while let Some(next) = keeper_of(&owner)? {
        owner = next;
    }
    let is_known = is_array(&owner) && flag(&owner, intern!(py, "owndata"))?;
    Ok((owner.as_ptr() as usize, is_known))
}

/// What keeps the memory of an array, if that is not the array itself; or what keeps that of an
/// object that stands between two arrays.
fn keeper_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    if is_array(object) {
        let base = object.getattr(intern!(py, "base"))?;
        return Ok((!base.is_none()).then_some(base));
    }
    // A memoryview, or what `as_strided` makes.
    for name in [intern!(py, "obj"), intern!(py, "base")] {
        if let Ok(Some(base)) = object.getattr_opt(name)
            && is_array(&base)
        {
            return Ok(Some(base));
        }
    }
    Ok(None)
}

/// Whether the memory of an array belongs to nobody else: neither the array nor anything that keeps
/// its memory is held by others. To be asked by who has the only reference.
pub(crate) fn has_its_memory_alone(array: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = array.py();
    if !is_plain(array)
        && let Some(mask) = array.getattr_opt(intern!(py, "_mask"))?
        && is_array(&mask)
    {
        let link = mask.as_ptr();
        drop(mask);
        if !is_chain_held_once(py, link)? {
            return Ok(false);
        }
    }
    is_chain_held_once(py, array.as_ptr())
}

/// Whether an array, what it is a view of, and so on, have one holder each.
fn is_chain_held_once(py: Python<'_>, array: *mut ffi::PyObject) -> PyResult<bool> {
    let mut link = array;
    loop {
        if !is_held_once(py, link) {
            return Ok(false);
        }
        // SAFETY: its holder is alive: whoever called, or the one before it.
        let object = unsafe { Bound::from_borrowed_ptr(py, link) };
        match keeper_of(&object)? {
            Some(keeper) => link = keeper.as_ptr(),
            None if is_array(&object) => return flag(&object, intern!(py, "owndata")),
            // Of another library, and held by nobody else.
            None => return Ok(true),
        }
    }
}

/// Whether there is one reference to an object.
#[cfg(not(Py_GIL_DISABLED))]
pub(crate) fn is_held_once(_py: Python<'_>, object: *mut ffi::PyObject) -> bool {
    // SAFETY: the object is alive, and the thread is attached.
    unsafe { ffi::Py_REFCNT(object) == 1 }
}

/// Whether there is one reference to an object. That is known only of what the calling thread has
/// made: the counts of others may change while they are read.
#[cfg(Py_GIL_DISABLED)]
pub(crate) fn is_held_once(py: Python<'_>, object: *mut ffi::PyObject) -> bool {
    use std::sync::atomic::Ordering;
    // What this thread has made bears its number.
    let own = PyList::empty(py);
    // SAFETY: both objects are alive, and the thread is attached.
    let (own, object) = unsafe { (&*own.as_ptr(), &*object) };
    object.ob_tid == own.ob_tid
        && object.ob_ref_local.load(Ordering::Relaxed) == 1
        && object.ob_ref_shared.load(Ordering::Relaxed) == 0
}
