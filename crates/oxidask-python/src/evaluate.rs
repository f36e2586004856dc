//! Runs a task's argument template: puts the arguments together and calls the function.
#![expect(
    unsafe_code,
    reason = "calls of user code go through the C interface, to survive an exit"
)]

use std::cell::Cell;
use std::os::raw::{c_long, c_ulong};

use oxidask_graph::{OpKind, Template};
use pyo3::ffi;
use pyo3::intern;
use pyo3::marker::Ungil;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyTuple};

use crate::in_place::{keyword_out, place_for_result};

/// `PyObject_Vectorcall`, as a function through which a thread may be ended: see `HangThread`.
type Vectorcall = unsafe extern "C-unwind" fn(
    *mut ffi::PyObject,
    *const *mut ffi::PyObject,
    usize,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;

/// The function as seen by its type only: if the compiler saw its name, it would believe the other
/// declarations of it, by which it never unwinds, and leave the guard out.
fn vectorcall() -> Vectorcall {
    let declared: unsafe extern "C" fn(_, _, _, _) -> _ = ffi::PyObject_Vectorcall;
    // SAFETY: the two types differ only in what the compiler assumes of unwinding.
    let function: Vectorcall = unsafe { std::mem::transmute(declared) };
    std::hint::black_box(function)
}

/// Stops the thread for ever if it is being ended while code of the user runs.
///
/// Until `CPython` 3.13, a thread that asks for the GIL after the interpreter began to finalise is
/// ended by `pthread_exit`, which unwinds the stack. Unwinding into frames of Rust would abort the
/// process and spoil its exit status; a thread that waits does no harm, for the process ends.
struct HangThread;

impl Drop for HangThread {
    fn drop(&mut self) {
        // A panic is for others to deal with.
        while !std::thread::panicking() {
            std::thread::park();
        }
    }
}

type RestoreThread = unsafe extern "C-unwind" fn(*mut ffi::PyThreadState);

/// What a thread needs to attach again; it does so when this is dropped.
struct Detached(*mut ffi::PyThreadState);

impl Drop for Detached {
    fn drop(&mut self) {
        let declared: unsafe extern "C" fn(_) = ffi::PyEval_RestoreThread;
        // SAFETY: the two types differ only in what the compiler assumes of unwinding; the state is
        // the one that `detached` got in this thread.
        unsafe {
            let function: RestoreThread = std::mem::transmute(declared);
            let guard = HangThread;
            std::hint::black_box(function)(self.0);
            std::mem::forget(guard);
        }
    }
}

/// Lets other threads have the interpreter while `wait` runs, which must not touch any Python object.
///
/// It may not even drop one; what may drop some uses [`let_others_run`].
pub(crate) fn detached<R>(_py: Python<'_>, wait: impl FnOnce() -> R) -> R {
    // SAFETY: the thread is attached.
    let _again = Detached(unsafe { ffi::PyEval_SaveThread() });
    wait()
}

/// `Python::detach`, which in `PyO3` before 0.29.3 does not survive that the interpreter ends
/// meanwhile.
pub(crate) fn let_others_run<'py, R: Ungil, F: Ungil + FnOnce() -> R>(
    py: Python<'py>,
    wait: F,
) -> R {
    // Unknown to the compiler, which would leave the guard out: see `vectorcall`.
    let detach = std::hint::black_box::<fn(Python<'py>, F) -> R>(Python::detach);
    let guard = HangThread;
    let result = detach(py, wait);
    std::mem::forget(guard);
    result
}

thread_local! {
    /// The stack of values of the last evaluation, kept for its room.
    static STACK: Cell<Vec<Py<PyAny>>> = const { Cell::new(Vec::new()) };
}

/// Evaluates a template; `dependency` gives the results of its inputs, by their place.
pub(crate) fn evaluate(
    py: Python<'_>,
    template: Template<'_>,
    literals: &[Py<PyAny>],
    dependency: impl Fn(u32) -> PyResult<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let mut stack = STACK.take();
    let outcome = run(py, template, literals, dependency, &mut stack);
    stack.clear();
    STACK.set(stack);
    outcome
}

fn run(
    py: Python<'_>,
    template: Template<'_>,
    literals: &[Py<PyAny>],
    dependency: impl Fn(u32) -> PyResult<Py<PyAny>>,
    stack: &mut Vec<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    for op in template.0 {
        let value = match op.kind() {
            OpKind::Literal(number) => literals[number as usize].clone_ref(py),
            OpKind::Dependency(place) => dependency(place)?,
            OpKind::Call(arguments) => match place_for_result(py, top(stack, arguments))? {
                None => call(py, stack, arguments as usize, None)?,
                Some(place) => {
                    let out = top(stack, arguments)[1 + place].clone_ref(py);
                    stack.push(out);
                    call(py, stack, arguments as usize + 1, Some(keyword_out(py)?))?
                }
            },
            OpKind::CallKeywords(arguments) => {
                let names = stack.pop().expect(WELL_FORMED);
                call(py, stack, arguments as usize, Some(&names))?
            }
            OpKind::List(len) => {
                let parts = split_off(stack, len as usize);
                PyList::new(py, parts)?.into_any().unbind()
            }
            OpKind::Tuple(len) => {
                let parts = split_off(stack, len as usize);
                PyTuple::new(py, parts)?.into_any().unbind()
            }
            OpKind::Set(len) => {
                let parts = split_off(stack, len as usize);
                PySet::new(py, parts)?.into_any().unbind()
            }
            OpKind::Dict(pairs) => {
                let dict = PyDict::new(py);
                let parts: Vec<Py<PyAny>> = split_off(stack, 2 * pairs as usize).collect();
                for pair in parts.chunks_exact(2) {
                    dict.set_item(&pair[0], &pair[1])?;
                }
                dict.into_any().unbind()
            }
            OpKind::Slice => {
                let parts: Vec<Py<PyAny>> = split_off(stack, 3).collect();
                py.get_type::<pyo3::types::PySlice>()
                    .call1((&parts[0], &parts[1], &parts[2]))?
                    .unbind()
            }
        };
        stack.push(value);
    }
    Ok(stack.pop().expect(WELL_FORMED))
}

const WELL_FORMED: &str = "templates are well-formed: TemplateBuilder::finish checks them";

/// A function and its arguments, which are the topmost values.
fn top(stack: &[Py<PyAny>], arguments: u32) -> &[Py<PyAny>] {
    &stack[stack.len().checked_sub(arguments as usize + 1).expect(WELL_FORMED)..]
}

fn split_off(stack: &mut Vec<Py<PyAny>>, len: usize) -> std::vec::IntoIter<Py<PyAny>> {
    stack.split_off(stack.len() - len).into_iter()
}

/// Calls the function below the `arguments` topmost values, and takes all of them off the stack.
pub(crate) fn call(
    py: Python<'_>,
    stack: &mut Vec<Py<PyAny>>,
    arguments: usize,
    keyword_names: Option<&Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let base = stack.len().checked_sub(arguments + 1).expect(WELL_FORMED);
    let keywords = match keyword_names {
        None => 0,
        Some(names) => names.bind(py).cast::<PyTuple>().map_err(PyErr::from)?.len(),
    };
    // SAFETY: `Py` is a pointer to a Python object. The slice holds the function and then its
    // arguments, all owned by the stack during the call; the slot before the arguments may be
    // overwritten during the call, as the flag says. The thread is attached.
    let result = unsafe {
        let values: *const *mut ffi::PyObject = stack[base..].as_ptr().cast();
        let guard = HangThread;
        let result = vectorcall()(
            *values,
            values.add(1),
            (arguments - keywords) | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
            keyword_names.map_or(std::ptr::null_mut(), Py::as_ptr),
        );
        std::mem::forget(guard);
        Bound::from_owned_ptr_or_err(py, result)
    };
    stack.truncate(base);
    Ok(result?.unbind())
}

// PyO3 declares it from version 0.29 on.
unsafe extern "C" {
    safe fn PyThread_get_thread_ident() -> c_ulong;
}

/// The number by which Python knows the calling thread.
pub(crate) fn thread_number() -> u64 {
    PyThread_get_thread_ident()
}

/// Takes in an exception that was raised in the calling thread for a task that has ended since.
///
/// Running a Python function raises it here, where it does no harm. To take it back instead would
/// leave a flag set that says that some thread has an exception to raise, and with that flag
/// `CPython` 3.11 never gets past the first line that a debugger or coverage traces, in any thread.
pub(crate) fn take_in_exception(py: Python<'_>) {
    let nothing = py
        .import(intern!(py, "oxidask._threads"))
        .and_then(|module| module.getattr(intern!(py, "_tidy_up")))
        .and_then(|function| function.call0());
    // What it raised is what was to be taken in.
    drop(nothing);
}

/// Drops what others gave up that the calling thread has made.
///
/// Without a GIL an object belongs to the thread that made it: when another gives up the last
/// reference, it stays until its owner runs Python code. A thread that rests has to see to it.
pub(crate) fn drop_what_others_gave_up(py: Python<'_>) {
    take_in_exception(py);
}

/// Raises an exception that another thread has raised in the calling one, if there is any.
///
/// That happens between steps of Python code only, so a function that does nothing is called; then
/// is dropped, too, [what others gave up](drop_what_others_gave_up).
pub(crate) fn let_exceptions_in(py: Python<'_>) -> PyResult<()> {
    let module = py.import(intern!(py, "oxidask._threads"))?;
    module.getattr(intern!(py, "_tidy_up"))?.call0().map(drop)
}

/// Raises an exception in a thread at its next step of Python code.
pub(crate) fn raise_in_thread(_py: Python<'_>, thread: u64, exception: &Bound<'_, PyAny>) {
    // SAFETY: the thread is attached; an unknown thread is a call without effect.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread as c_long, exception.as_ptr()) };
}
