"""The admin listener's API: `/admin/v1/...`, health and metrics, and its documentation."""
