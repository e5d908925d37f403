"""One router per group of routes, created for a `Service` and mounted by `create_app`."""
