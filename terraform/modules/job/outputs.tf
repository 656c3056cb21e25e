output "image" {
  description = "Image that the job runs; null as long as there is no job."
  value       = one(google_cloud_run_v2_job.this[*].template[0].template[0].containers[0].image)
}

output "name" {
  description = "Name of the job; null as long as there is none."
  value       = one(google_cloud_run_v2_job.this[*].name)
}
