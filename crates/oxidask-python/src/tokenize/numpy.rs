//! Arrays, scalars and dtypes, as far as their bytes are their content, of `numpy`.
//!
//! `numpy` is never imported here: without it in `sys.modules` there are none of its objects.

use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyType};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::atom::{self, Tag};
use super::buffer::Content;

/// Bytes made contiguous at once, for arrays that are not.
const COPY_BYTES: usize = 16 << 20;

/// `dtype.num` of the types with content outside the array, padding or fields.
const LONGDOUBLE: i32 = 13;
const COMPLEX_LONGDOUBLE: i32 = 16;
const OBJECT: i32 = 17;
const VOID: i32 = 20;
/// Numbers from here on are not of the library's own plain types.
const FIRST_FOREIGN: i32 = 24;

struct NumpyTypes {
    ndarray: Py<PyType>,
    generic: Py<PyType>,
    dtype: Py<PyType>,
    uint8: Py<PyAny>,
}

static TYPES: PyOnceLock<NumpyTypes> = PyOnceLock::new();

fn numpy_types(py: Python<'_>) -> Option<&NumpyTypes> {
    if let Some(types) = TYPES.get(py) {
        return Some(types);
    }
    let modules = py.import("sys").ok()?.getattr("modules").ok()?.cast_into::<PyDict>().ok()?;
    let numpy = modules.get_item(intern!(py, "numpy")).ok()??;
    let named = |name| numpy.getattr(name).ok()?.cast_into::<PyType>().ok().map(Bound::unbind);
    // A module that is still being imported lacks some of these; ask again next time.
    let types = NumpyTypes {
        ndarray: named("ndarray")?,
        generic: named("generic")?,
        dtype: named("dtype")?,
        uint8: numpy.getattr("uint8").ok()?.unbind(),
    };
    TYPES.get_or_try_init(py, || Ok::<_, PyErr>(types)).ok()
}

/// Whether this is an array, a scalar or a dtype, of `numpy`'s classes or of one derived
/// from them.
pub(super) fn is_numpy(object: &Bound<'_, PyAny>) -> bool {
    let py = object.py();
    numpy_types(py).is_some_and(|types| {
        [&types.ndarray, &types.generic, &types.dtype]
            .iter()
            .any(|class| object.is_instance(class.bind(py)).unwrap_or(false))
    })
}

/// The digest of a plain array, scalar or dtype; `None` for anything else.
pub(super) fn digest(object: &Bound<'_, PyAny>) -> PyResult<Option<u128>> {
    let py = object.py();
    let Some(types) = numpy_types(py) else {
        return Ok(None);
    };
    if object.get_type().is(&types.ndarray) {
        return digest_array(object, types);
    }
    if object.is_instance(types.generic.bind(py))? {
        return digest_scalar(object);
    }
    if object.is_instance(types.dtype.bind(py))? {
        let name = plain_name(object)?;
        return Ok(name.map(|name| {
            let mut bytes = Vec::new();
            atom::tag(&mut bytes, Tag::NumpyDtype);
            bytes.extend_from_slice(name.as_bytes());
            xxh3_128(&bytes)
        }));
    }
    Ok(None)
}

/// The text that says all about a dtype whose items are plain bytes: `<f8`, `|S5`, `<M8[ns]`.
fn plain_name(dtype: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = dtype.py();
    let number: i32 = dtype.getattr(intern!(py, "num"))?.extract()?;
    let is_plain = (0..FIRST_FOREIGN).contains(&number)
        && !matches!(number, OBJECT | LONGDOUBLE | COMPLEX_LONGDOUBLE)
        && (number != VOID
            || (dtype.getattr(intern!(py, "names"))?.is_none()
                && dtype.getattr(intern!(py, "subdtype"))?.is_none()));
    if !is_plain {
        return Ok(None);
    }
    let name = dtype.getattr(intern!(py, "str"))?.cast_into::<PyString>()?;
    Ok(Some(name.to_str()?.to_owned()))
}

fn digest_scalar(scalar: &Bound<'_, PyAny>) -> PyResult<Option<u128>> {
    let py = scalar.py();
    let dtype = scalar.getattr(intern!(py, "dtype"))?;
    let Some(name) = plain_name(&dtype)? else {
        return Ok(None);
    };
    if !dtype.getattr(intern!(py, "type"))?.is(scalar.get_type()) {
        return Ok(None);
    }
    let content = scalar.call_method0(intern!(py, "tobytes"))?.cast_into::<PyBytes>()?;
    let mut bytes = Vec::new();
    atom::tag(&mut bytes, Tag::NumpyScalar);
    atom::length(&mut bytes, name.len());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(content.as_bytes());
    Ok(Some(xxh3_128(&bytes)))
}

fn digest_array(array: &Bound<'_, PyAny>, types: &NumpyTypes) -> PyResult<Option<u128>> {
    let py = array.py();
    let Some(name) = plain_name(&array.getattr(intern!(py, "dtype"))?)? else {
        return Ok(None);
    };
    let shape: Vec<usize> = array.getattr(intern!(py, "shape"))?.extract()?;
    let mut header = Vec::new();
    atom::tag(&mut header, Tag::NumpyArray);
    atom::length(&mut header, name.len());
    header.extend_from_slice(name.as_bytes());
    atom::length(&mut header, shape.len());
    for &length in &shape {
        atom::length(&mut header, length);
    }
    let mut hasher = Xxh3::new();
    hasher.update(&header);
    let n_bytes: usize = array.getattr(intern!(py, "nbytes"))?.extract()?;
    if n_bytes > 0 {
        let mut content = Content::new(&mut hasher, n_bytes);
        update_in_c_order(&mut content, array, &shape, n_bytes, types)?;
        content.finish();
    }
    Ok(Some(hasher.digest128()))
}

/// Feeds the items in C order; arrays laid out otherwise are copied some rows at a time.
fn update_in_c_order(
    content: &mut Content<'_>,
    array: &Bound<'_, PyAny>,
    shape: &[usize],
    n_bytes: usize,
    types: &NumpyTypes,
) -> PyResult<()> {
    let py = array.py();
    let flags = array.getattr(intern!(py, "flags"))?;
    if flags.getattr(intern!(py, "c_contiguous"))?.extract()? {
        return update_contiguous(content, array, types);
    }
    let rows = shape[0];
    let rows_at_once = (COPY_BYTES * rows / n_bytes).max(1);
    for start in (0..rows).step_by(rows_at_once) {
        let stop = rows.min(start + rows_at_once);
        let part =
            array.get_item(pyo3::types::PySlice::new(py, start as isize, stop as isize, 1))?;
        let copied = part.call_method1(intern!(py, "copy"), ("C",))?;
        update_contiguous(content, &copied, types)?;
    }
    Ok(())
}

fn update_contiguous(
    content: &mut Content<'_>,
    array: &Bound<'_, PyAny>,
    types: &NumpyTypes,
) -> PyResult<()> {
    let py = array.py();
    let flat = array.call_method1(intern!(py, "reshape"), (-1,))?;
    let bytes = flat.call_method1(intern!(py, "view"), (&types.uint8,))?;
    let buffer = PyBuffer::<u8>::get(&bytes)?;
    content.update(py, &buffer);
    Ok(())
}
