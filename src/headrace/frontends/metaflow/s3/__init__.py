"""``S3``: objects in S3."""
