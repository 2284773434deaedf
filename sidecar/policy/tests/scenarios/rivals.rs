//! The limits that the default was chosen over, as their authors wrote them down.

mod aimd;
mod correlation;
mod gradient2;
mod vegas;
mod windowed;

pub(crate) use self::{
    aimd::Aimd, correlation::Correlation, gradient2::Gradient2, vegas::Vegas, windowed::Windowed,
};
