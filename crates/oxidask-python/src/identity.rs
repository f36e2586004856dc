//! What a task is called: a random number, a content hash, or the key that the user gave.
//!
//! Keys are rendered when somebody looks; until then a task carries 16 bytes.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::tokenize::token;

/// What makes two tasks the same task.
pub(crate) enum Identity {
    /// A call that is no other's equal: a number that no process gives twice.
    Random(u128),
    /// A pure call: the hash of what it computes. Equal calls are one task.
    Token(u128),
    /// A key that the user gave.
    Named(Py<PyAny>),
    /// A block of a layer: a hash of the layer's name and the block's number, and the key.
    Block { hash: u128, key: Py<PyAny> },
}

impl Identity {
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Random(number) => Self::Random(*number),
            Self::Token(token) => Self::Token(*token),
            Self::Named(key) => Self::Named(key.clone_ref(py)),
            Self::Block { hash, key } => Self::Block { hash: *hash, key: key.clone_ref(py) },
        }
    }

    /// A hash of the key, equal just for tasks with equal keys.
    pub(crate) fn hash(&self, py: Python<'_>) -> PyResult<u128> {
        match self {
            Self::Random(number) => Ok(*number),
            Self::Token(token) => Ok(*token),
            Self::Named(key) => token(py, &[key.bind(py).clone()], Some(true)),
            Self::Block { hash, .. } => Ok(*hash),
        }
    }

    /// The number at the end of the key's text, if it is one that `key` writes, or looks like one.
    pub(crate) fn number(&self, py: Python<'_>) -> Option<u128> {
        match self {
            Self::Random(number) | Self::Token(number) => Some(*number),
            Self::Named(key) => {
                let text = key.bind(py).cast::<PyString>().ok()?.to_cow().ok()?;
                let (_, digits) = text.rsplit_once('-').filter(|(_, end)| end.len() == 32)?;
                u128::from_str_radix(digits, 16).ok()
            }
            Self::Block { .. } => None,
        }
    }

    /// The key that users see, for a task with this prefix.
    pub(crate) fn key<'py>(&self, py: Python<'py>, prefix: &str) -> Bound<'py, PyAny> {
        match self {
            Self::Random(number) | Self::Token(number) => {
                PyString::new(py, &format!("{prefix}-{number:032x}")).into_any()
            }
            Self::Named(key) | Self::Block { key, .. } => key.bind(py).clone(),
        }
    }
}

/// A large odd step: multiples of it do not come near each other for a long time.
const STEP: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

static NEXT: Mutex<Option<u128>> = Mutex::new(None);

/// A number that no other call, in this process or another, is given.
pub(crate) fn random_identity() -> PyResult<Identity> {
    // Another thread is never stopped while it holds this lock, for it needs nothing else.
    let mut next = NEXT.lock().expect("nothing panics while the lock is held");
    let number = if let Some(number) = *next {
        number
    } else {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).map_err(|error| {
            pyo3::exceptions::PyOSError::new_err(format!(
                "the operating system gives no random numbers for keys: {error}"
            ))
        })?;
        u128::from_le_bytes(seed)
    };
    *next = Some(number.wrapping_add(STEP));
    Ok(Identity::Random(number))
}

/// A child process must not go on with its parent's numbers.
pub(crate) fn forget_seed() {
    *NEXT.lock().expect("nothing panics while the lock is held") = None;
}

/// Whether a value may be a key: text, bytes, a number, or a tuple of those.
pub(crate) fn check_key(key: &Bound<'_, PyAny>, argument: &str) -> PyResult<()> {
    use pyo3::types::{PyBytes, PyFloat, PyInt, PyTuple};
    let mut stack = vec![key.clone()];
    while let Some(part) = stack.pop() {
        if let Ok(tuple) = part.cast::<PyTuple>() {
            stack.extend(tuple.iter());
        } else if !(part.is_instance_of::<PyString>()
            || part.is_instance_of::<PyBytes>()
            || part.is_instance_of::<PyInt>()
            || part.is_instance_of::<PyFloat>())
        {
            return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                "{argument}: a key is str, bytes, int, float or a tuple of those, but {} holds {} \
                 of type {}; use its str() or a tuple",
                key.repr()?,
                part.repr()?,
                part.get_type().name()?,
            )));
        }
    }
    Ok(())
}
