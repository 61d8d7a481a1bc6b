"""Kernels for VMs: the catalog, what a kernel must be able to do, and how a bundle or a user's own kernel is taken in.

`catalog` says which kernels there are; `download` fetches a bundle; `bundle` and `modules` read what is in one;
`identify` says what an image is and what is built into it; `needs` is the list that decides whether it will do.
"""
