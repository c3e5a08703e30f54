//! `map_partitions` and `transform`: all records of a partition or batch at once.
