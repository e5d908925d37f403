"""Authenticate callers by tokens of this service or access tokens of an OpenID Connect issuer."""
