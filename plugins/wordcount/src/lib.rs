//! wordcount.
