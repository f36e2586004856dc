//! The formats a drawing can be written in, one file each.

pub mod dot;
pub mod html;
pub mod json;
pub mod pdf;
pub mod png;
pub mod svg;
