//! Calls and values as bytes: a postfix program for a stack of values.
//!
//! Plain values (None, numbers, text, bytes, tuples of them) are written as they are, in a few
//! bytes each; others are pickled, or, where caller and worker share a process, named by their
//! number in a table of objects. A value by itself is a program of one value.

use oxidask_protocol::ContentHash;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple,
};

use super::serialize;
use crate::evaluate::call;

/// First byte of each step.
mod tag {
    pub(super) const NONE: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const INT: u8 = 3;
    pub(super) const LONG: u8 = 4;
    pub(super) const FLOAT: u8 = 5;
    pub(super) const TEXT: u8 = 6;
    pub(super) const BYTES: u8 = 7;
    pub(super) const COMPLEX: u8 = 8;
    /// A tuple of values that stand before it.
    pub(super) const TUPLE: u8 = 9;
    pub(super) const PICKLE: u8 = 10;
    pub(super) const OBJECT: u8 = 11;
    /// A shared part, made once for all calls.
    pub(super) const FUNCTION: u8 = 12;
    /// A shared pickle, read for each call.
    pub(super) const SHARED: u8 = 13;
    /// An object in shared memory: the whole program of a task that only holds data.
    pub(super) const DEPENDENCY: u8 = 16;
    pub(super) const LIST: u8 = 17;
    pub(super) const SET: u8 = 18;
    pub(super) const DICT: u8 = 19;
    pub(super) const SLICE: u8 = 20;
    pub(super) const CALL: u8 = 21;
    pub(super) const CALL_KEYWORDS: u8 = 22;
}

/// Values in a tuple or list that is written as it is, at most.
const LONGEST_PLAIN: usize = 256;

// ---- Writing ----

/// Writes a number in as many bytes as it needs.
pub(crate) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_tagged_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    write_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes a plain value; `false`, and nothing written, if it is another.
pub(crate) fn write_plain(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<bool> {
    if value.is_exact_instance_of::<PyInt>() {
        if let Ok(number) = value.extract::<i64>() {
            out.push(tag::INT);
            write_number(((number << 1) ^ (number >> 63)) as u64, out);
        } else {
            let text = value.str()?;
            write_tagged_bytes(tag::LONG, text.to_cow()?.as_bytes(), out);
        }
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        out.push(tag::FLOAT);
        out.extend_from_slice(&number.value().to_le_bytes());
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        // Text with lone surrogates is no UTF-8: pickle knows it.
        let Ok(utf8) = text.to_str() else { return Ok(false) };
        write_tagged_bytes(tag::TEXT, utf8.as_bytes(), out);
    } else if value.is_none() {
        out.push(tag::NONE);
    } else if let Ok(truth) = value.cast_exact::<PyBool>() {
        out.push(if truth.is_true() { tag::TRUE } else { tag::FALSE });
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        write_tagged_bytes(tag::BYTES, bytes.as_bytes(), out);
    } else if let Ok(number) = value.cast_exact::<PyComplex>() {
        out.push(tag::COMPLEX);
        out.extend_from_slice(&number.real().to_le_bytes());
        out.extend_from_slice(&number.imag().to_le_bytes());
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return write_plain_tuple(tuple, out, 0);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn write_plain_tuple(
    tuple: &Bound<'_, PyTuple>,
    out: &mut Vec<u8>,
    depth: usize,
) -> PyResult<bool> {
    if tuple.len() > LONGEST_PLAIN || depth > 8 {
        return Ok(false);
    }
    let start = out.len();
    for part in tuple.iter_borrowed() {
        let is_written = match part.cast_exact::<PyTuple>() {
            Ok(inner) => write_plain_tuple(&inner, out, depth + 1)?,
            Err(_) => write_plain(&part, out)?,
        };
        if !is_written {
            out.truncate(start);
            return Ok(false);
        }
    }
    out.push(tag::TUPLE);
    write_number(tuple.len() as u64, out);
    Ok(true)
}

/// Writes an object of this process, by its number.
pub(crate) fn write_object(number: usize, out: &mut Vec<u8>) {
    out.push(tag::OBJECT);
    write_number(number as u64, out);
}

/// Writes a part that calls share: a function is made once, other values anew for each call.
pub(crate) fn write_part(hash: ContentHash, is_function: bool, out: &mut Vec<u8>) {
    out.push(if is_function { tag::FUNCTION } else { tag::SHARED });
    out.extend_from_slice(&hash.to_le_bytes());
}

pub(crate) fn write_dependency(place: u32, out: &mut Vec<u8>) {
    out.push(tag::DEPENDENCY);
    write_number(u64::from(place), out);
}

pub(crate) fn write_call(arguments: u32, out: &mut Vec<u8>) {
    out.push(tag::CALL);
    write_number(u64::from(arguments), out);
}

/// Writes a step of a template that is neither a literal nor a dependency.
pub(crate) fn write_step(kind: oxidask_graph::OpKind, out: &mut Vec<u8>) {
    use oxidask_graph::OpKind;
    let (tag, count) = match kind {
        OpKind::List(count) => (tag::LIST, count),
        OpKind::Tuple(count) => (tag::TUPLE, count),
        OpKind::Set(count) => (tag::SET, count),
        OpKind::Dict(count) => (tag::DICT, count),
        OpKind::Slice => (tag::SLICE, 0),
        OpKind::Call(count) => (tag::CALL, count),
        OpKind::CallKeywords(count) => (tag::CALL_KEYWORDS, count),
        OpKind::Literal(_) | OpKind::Dependency(_) => unreachable!("the caller writes these"),
    };
    out.push(tag);
    write_number(u64::from(count), out);
}

/// Writes a pickle as a value.
pub(crate) fn write_pickle(pickle: &[u8], out: &mut Vec<u8>) {
    write_tagged_bytes(tag::PICKLE, pickle, out);
}

// ---- Evaluating ----

/// What a program refers to.
pub(crate) trait Context {
    /// The result of a dependency, by its place among the task's inputs.
    fn dependency<'py>(&self, py: Python<'py>, place: usize) -> PyResult<Bound<'py, PyAny>>;
    /// An object of this process.
    fn object<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyAny>>;
    /// A function that calls share.
    fn function<'py>(&self, py: Python<'py>, hash: ContentHash) -> PyResult<Bound<'py, PyAny>>;
    /// A value that calls share, made anew.
    fn shared<'py>(&self, py: Python<'py>, hash: ContentHash) -> PyResult<Bound<'py, PyAny>>;
    /// The first call begins, or another one.
    fn calls(&self) {}
    /// What a call that returned `value` is worth: what it gives in the end, if it is a coroutine.
    fn settled(&self, _py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        Ok(value)
    }
}

/// A context for values by themselves.
pub(crate) struct NoContext;

impl Context for NoContext {
    fn dependency<'py>(&self, _py: Python<'py>, _place: usize) -> PyResult<Bound<'py, PyAny>> {
        Err(garbled())
    }

    fn object<'py>(&self, _py: Python<'py>, _number: usize) -> PyResult<Bound<'py, PyAny>> {
        Err(garbled())
    }

    fn function<'py>(&self, _py: Python<'py>, _hash: ContentHash) -> PyResult<Bound<'py, PyAny>> {
        Err(garbled())
    }

    fn shared<'py>(&self, _py: Python<'py>, _hash: ContentHash) -> PyResult<Bound<'py, PyAny>> {
        Err(garbled())
    }
}

pub(crate) fn garbled() -> PyErr {
    PyRuntimeError::new_err("a program of a task is garbled; this is a bug of oxidask")
}

/// What a program is made of, without evaluating it.
#[derive(Default)]
pub(crate) struct Outline {
    /// Numbers of objects of this process.
    pub(crate) objects: Vec<usize>,
    pub(crate) has_call: bool,
}

/// What a program is made of.
pub(crate) fn outline(program: &[u8]) -> PyResult<Outline> {
    let mut reader = Reader(program);
    let mut outline = Outline::default();
    while !reader.0.is_empty() {
        match reader.byte()? {
            tag::NONE | tag::TRUE | tag::FALSE => {}
            tag::INT
            | tag::DEPENDENCY
            | tag::TUPLE
            | tag::LIST
            | tag::SET
            | tag::DICT
            | tag::SLICE => drop(reader.number()?),
            tag::LONG | tag::TEXT | tag::BYTES | tag::PICKLE => drop(reader.bytes()?),
            tag::FLOAT => drop(reader.float()?),
            tag::COMPLEX => drop((reader.float()?, reader.float()?)),
            tag::FUNCTION | tag::SHARED => drop(reader.hash()?),
            tag::OBJECT => outline.objects.push(reader.number()? as usize),
            tag::CALL | tag::CALL_KEYWORDS => {
                outline.has_call = true;
                reader.number()?;
            }
            _ => return Err(garbled()),
        }
    }
    Ok(outline)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> PyResult<u8> {
        let (&first, rest) = self.0.split_first().ok_or_else(garbled)?;
        self.0 = rest;
        Ok(first)
    }

    fn number(&mut self) -> PyResult<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(garbled())
    }

    fn take(&mut self, len: usize) -> PyResult<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(garbled)?;
        self.0 = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> PyResult<&'a [u8]> {
        let len = self.number()? as usize;
        self.take(len)
    }

    fn float(&mut self) -> PyResult<f64> {
        Ok(f64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes")))
    }

    fn hash(&mut self) -> PyResult<ContentHash> {
        Ok(u128::from_le_bytes(self.take(16)?.try_into().expect("sixteen bytes")))
    }
}

/// Evaluates a program.
pub(crate) fn evaluate(
    py: Python<'_>,
    program: &[u8],
    context: &impl Context,
) -> PyResult<Py<PyAny>> {
    let mut reader = Reader(program);
    let mut stack: Vec<Py<PyAny>> = Vec::with_capacity(8);
    while !reader.0.is_empty() {
        let value = step(py, &mut reader, &mut stack, context)?;
        stack.push(value);
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(garbled()),
    }
}

fn step(
    py: Python<'_>,
    reader: &mut Reader<'_>,
    stack: &mut Vec<Py<PyAny>>,
    context: &impl Context,
) -> PyResult<Py<PyAny>> {
    let value = match reader.byte()? {
        tag::NONE => py.None(),
        tag::TRUE => PyBool::new(py, true).to_owned().into_any().unbind(),
        tag::FALSE => PyBool::new(py, false).to_owned().into_any().unbind(),
        tag::INT => {
            let number = reader.number()?;
            let number = (number >> 1) as i64 ^ -((number & 1) as i64);
            number.into_pyobject(py)?.into_any().unbind()
        }
        tag::LONG => {
            let text = std::str::from_utf8(reader.bytes()?).map_err(|_| garbled())?;
            py.get_type::<PyInt>().call1((text,))?.unbind()
        }
        tag::FLOAT => PyFloat::new(py, reader.float()?).into_any().unbind(),
        tag::COMPLEX => {
            let (real, imaginary) = (reader.float()?, reader.float()?);
            PyComplex::from_doubles(py, real, imaginary).into_any().unbind()
        }
        tag::TEXT => {
            let text = std::str::from_utf8(reader.bytes()?).map_err(|_| garbled())?;
            PyString::new(py, text).into_any().unbind()
        }
        tag::BYTES => PyBytes::new(py, reader.bytes()?).into_any().unbind(),
        tag::PICKLE => serialize::load(py, reader.bytes()?)?.unbind(),
        tag::OBJECT => context.object(py, reader.number()? as usize)?.unbind(),
        tag::FUNCTION => context.function(py, reader.hash()?)?.unbind(),
        tag::SHARED => context.shared(py, reader.hash()?)?.unbind(),
        tag::DEPENDENCY => context.dependency(py, reader.number()? as usize)?.unbind(),
        tag::TUPLE => {
            let parts = last(stack, reader.number()?)?;
            PyTuple::new(py, parts)?.into_any().unbind()
        }
        tag::LIST => {
            let parts = last(stack, reader.number()?)?;
            PyList::new(py, parts)?.into_any().unbind()
        }
        tag::SET => {
            let parts = last(stack, reader.number()?)?;
            PySet::new(py, parts)?.into_any().unbind()
        }
        tag::DICT => {
            let dict = PyDict::new(py);
            let parts = last(stack, 2 * reader.number()?)?;
            for pair in parts.chunks_exact(2) {
                dict.set_item(&pair[0], &pair[1])?;
            }
            dict.into_any().unbind()
        }
        tag::SLICE => {
            reader.number()?;
            let parts = last(stack, 3)?;
            let slice = py.get_type::<pyo3::types::PySlice>();
            slice.call1((&parts[0], &parts[1], &parts[2]))?.unbind()
        }
        tag::CALL => {
            let arguments = reader.number()? as usize;
            if stack.len() <= arguments {
                return Err(garbled());
            }
            context.calls();
            context.settled(py, call(py, stack, arguments, None)?)?
        }
        tag::CALL_KEYWORDS => {
            let arguments = reader.number()? as usize;
            let names = stack.pop().ok_or_else(garbled)?;
            if stack.len() <= arguments {
                return Err(garbled());
            }
            context.calls();
            context.settled(py, call(py, stack, arguments, Some(&names))?)?
        }
        _ => return Err(garbled()),
    };
    Ok(value)
}

fn last(stack: &mut Vec<Py<PyAny>>, count: u64) -> PyResult<Vec<Py<PyAny>>> {
    let base = stack.len().checked_sub(count as usize).ok_or_else(garbled)?;
    Ok(stack.split_off(base))
}
