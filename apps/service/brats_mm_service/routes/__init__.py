"""One router a group of routes; each is made for one `Service` and mounted by `create_app`."""
