output "admin_url" {
  description = "URL of admin; with a domain only the load balancer gets there."
  value       = module.admin.uri
}

output "build_service_account" {
  description = "Email of the account that builds the image."
  value       = local.build_account
}

output "cache_endpoints" {
  description = "Endpoints of Memorystore inside the network; null without a cache."
  value       = one(google_memorystore_instance.cache[*].endpoints)
}

output "image" {
  description = "Image that migrates the database; null as long as there is none."
  value       = module.migrate.image # not the variable: a deploy applies this job alone, and its outputs
}

output "image_repository" {
  description = "Where images are pushed to: REPOSITORY/tally:TAG."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.tally.repository_id}"
}

output "ingest_url" {
  description = "URL of ingest; with a domain only the load balancer gets there."
  value       = module.ingest.uri
}

output "load_balancer_ip" {
  description = "Address that the domain's A record has to name; null without a domain."
  value       = one(google_compute_global_address.public[*].address)
}

output "query_url" {
  description = "URL of query; with a domain only the load balancer gets there."
  value       = module.query.uri
}

output "region" {
  description = "Region of everything."
  value       = var.region
}

output "serving_image" {
  description = "Image that everything but the migration runs."
  value       = var.serving_image
}

output "url" {
  description = "Address of the load balancer, which answers for admin, ingest and query; null without a domain."
  value       = var.domain == null ? null : "https://${var.domain}"
}
