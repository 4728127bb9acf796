//! Scripts of events, and the actions that they lead to.
