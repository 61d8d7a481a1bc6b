"""The only impure loop: it performs what the scheduler decides, and recovers what a crash left."""
