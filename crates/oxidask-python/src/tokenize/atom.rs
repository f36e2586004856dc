//! The bytes of values that hold no other value.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyDict, PyEllipsis, PyFloat, PyInt, PyNone, PyNotImplemented,
    PyString,
};

/// Longer texts and bytes are hashed on their own, once per object.
pub(super) const INLINE_BYTES: usize = 4 << 10;

/// What a piece of the stream is. Numbers are part of the tokens: never change or reuse one.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Tag {
    Call = 1,
    CallWithKeywords = 2,
    /// The digest of a value hashed on its own.
    Nested = 3,
    SeenBefore = 4,
    Object = 5,
    None = 10,
    False = 11,
    True = 12,
    /// An int that fits 64 bits.
    Int = 13,
    BigInt = 14,
    Float = 15,
    Complex = 16,
    Text = 17,
    Bytes = 18,
    ByteArray = 19,
    MemoryView = 20,
    Ellipsis = 21,
    NotImplemented = 22,
    List = 30,
    Tuple = 31,
    Dict = 32,
    Set = 33,
    FrozenSet = 34,
    Slice = 35,
    Range = 36,
    Type = 40,
    Function = 41,
    NumpyArray = 50,
    NumpyScalar = 51,
    NumpyDtype = 52,
}

pub(super) fn tag(bytes: &mut Vec<u8>, tag: Tag) {
    bytes.push(tag as u8);
}

pub(super) fn length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&(length as u64).to_le_bytes());
}

/// A text with its length, without a tag.
pub(super) fn text(bytes: &mut Vec<u8>, text: &Bound<'_, PyString>) -> PyResult<()> {
    with_utf8(text, |utf8| {
        length(bytes, utf8.len());
        bytes.extend_from_slice(utf8);
    })
}

/// Calls `use_bytes` with the text in UTF-8, lone surrogates encoded like other characters.
pub(super) fn with_utf8<R>(
    text: &Bound<'_, PyString>,
    use_bytes: impl FnOnce(&[u8]) -> R,
) -> PyResult<R> {
    if let Ok(utf8) = text.to_str() {
        return Ok(use_bytes(utf8.as_bytes()));
    }
    let encoded = text
        .call_method1(intern!(text.py(), "encode"), ("utf-8", "surrogatepass"))?
        .cast_into::<PyBytes>()?;
    Ok(use_bytes(encoded.as_bytes()))
}

/// Writes `object` when it is an atom; `false`, with nothing written, when it is not.
pub(super) fn write(bytes: &mut Vec<u8>, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(value) = object.cast_exact::<PyString>() {
        // The number of characters bounds the size, without encoding a long text first.
        if value.len()? > INLINE_BYTES {
            return Ok(false);
        }
        tag(bytes, Tag::Text);
        text(bytes, value)?;
    } else if let Ok(value) = object.cast_exact::<PyInt>() {
        int(bytes, value)?;
    } else if let Ok(value) = object.cast_exact::<PyFloat>() {
        // The bit pattern: 0.0 is not -0.0, and a NaN is like itself.
        tag(bytes, Tag::Float);
        bytes.extend_from_slice(&value.value().to_bits().to_le_bytes());
    } else if object.cast_exact::<PyNone>().is_ok() {
        tag(bytes, Tag::None);
    } else if let Ok(value) = object.cast_exact::<PyBool>() {
        tag(bytes, if value.is_true() { Tag::True } else { Tag::False });
    } else if let Ok(value) = object.cast_exact::<PyBytes>() {
        let content = value.as_bytes();
        if content.len() > INLINE_BYTES {
            return Ok(false);
        }
        tag(bytes, Tag::Bytes);
        length(bytes, content.len());
        bytes.extend_from_slice(content);
    } else if let Ok(value) = object.cast_exact::<PyComplex>() {
        tag(bytes, Tag::Complex);
        bytes.extend_from_slice(&value.real().to_bits().to_le_bytes());
        bytes.extend_from_slice(&value.imag().to_bits().to_le_bytes());
    } else if object.cast_exact::<PyEllipsis>().is_ok() {
        tag(bytes, Tag::Ellipsis);
    } else if object.cast_exact::<PyNotImplemented>().is_ok() {
        tag(bytes, Tag::NotImplemented);
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn int(bytes: &mut Vec<u8>, value: &Bound<'_, PyInt>) -> PyResult<()> {
    if let Ok(small) = value.extract::<i64>() {
        tag(bytes, Tag::Int);
        bytes.extend_from_slice(&small.to_le_bytes());
        return Ok(());
    }
    let py = value.py();
    let bits: usize = value.call_method0(intern!(py, "bit_length"))?.extract()?;
    let signed = PyDict::new(py);
    signed.set_item(intern!(py, "signed"), true)?;
    let encoded = value
        .call_method(intern!(py, "to_bytes"), (bits / 8 + 1, "little"), Some(&signed))?
        .cast_into::<PyBytes>()?;
    tag(bytes, Tag::BigInt);
    length(bytes, encoded.as_bytes().len());
    bytes.extend_from_slice(encoded.as_bytes());
    Ok(())
}
