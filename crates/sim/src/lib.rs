//! The simulations of ticketd: worlds in which everything that can go wrong does, and checkers that
//! nothing may fool.
#![warn(missing_docs)]

pub mod compare;
pub mod explore;
pub mod live;
