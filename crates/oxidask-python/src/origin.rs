//! Where in the user's code a task was made: 12 bytes now, a file and a line when asked.
#![expect(unsafe_code, reason = "PyO3 has no safe way to the running frame's instruction")]

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCode;

/// A place in a code object.
pub(crate) struct Origin {
    pub(crate) code: Py<PyAny>,
    instruction: i32,
}

impl Origin {
    /// The place that runs now, if Python code runs.
    pub(crate) fn here(py: Python<'_>) -> Option<Self> {
        // SAFETY: the thread is attached, so the running frame, borrowed from the interpreter, stays
        // while we look at it; PyFrame_GetCode gives a new reference and cannot fail.
        unsafe {
            let frame = ffi::PyEval_GetFrame();
            if frame.is_null() {
                return None;
            }
            let code = ffi::PyFrame_GetCode(frame);
            let code = Bound::from_owned_ptr(py, code.cast()).unbind();
            Some(Self { code, instruction: ffi::PyFrame_GetLasti(frame) })
        }
    }

    /// A place that Python code has looked up: a code object and an instruction in it.
    pub(crate) fn of_code(code: Bound<'_, PyCode>, instruction: i32) -> Self {
        Self { code: code.into_any().unbind(), instruction }
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { code: self.code.clone_ref(py), instruction: self.instruction }
    }

    /// The line, counted from 1.
    pub(crate) fn line(&self) -> i32 {
        // SAFETY: `code` is a code object, in whichever way it was made.
        unsafe { ffi::PyCode_Addr2Line(self.code.as_ptr().cast(), self.instruction) }
    }
}
