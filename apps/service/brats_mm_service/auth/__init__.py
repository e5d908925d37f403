"""Who calls: tokens of this service, and access tokens of an OpenID Connect issuer."""
