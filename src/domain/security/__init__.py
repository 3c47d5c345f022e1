"""Request security: CORS, CSRF, threat rules, server-side request forgery."""
