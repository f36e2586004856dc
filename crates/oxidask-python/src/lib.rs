//! The extension module `oxidask._core`: the only crate that knows Python.

use pyo3::prelude::*;

mod drawing;
mod tokenize;

/// The engine of Oxidask.
#[pymodule]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::drawing::render_svg;
    #[pymodule_export]
    use super::tokenize::{set_token_overrides, tokenize_objects};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
