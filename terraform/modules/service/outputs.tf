output "account" {
  description = "Email of the account that the function runs as."
  value       = local.account
}

output "name" {
  description = "Name of the service; null without an image."
  value       = one(google_cloud_run_v2_service.this[*].name)
}

output "uri" {
  description = "URL of the service; null without an image."
  value       = one(google_cloud_run_v2_service.this[*].uri)
}
