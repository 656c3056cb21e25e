# Memorystore for Valkey, off by default. No function reads it yet: limits are going to, when they are more than
# PostgreSQL should count. Reached inside the network only, over TLS, by IAM: there is no password to keep.
resource "google_network_connectivity_service_connection_policy" "cache" {
  count = var.cache == null ? 0 : 1

  name          = "tally-cache"
  location      = var.region
  service_class = "gcp-memorystore"
  network       = google_compute_network.tally.id

  psc_config {
    subnetworks = [google_compute_subnetwork.run.id]
  }

  depends_on = [google_project_service.api]
}

resource "google_memorystore_instance" "cache" {
  count = var.cache == null ? 0 : 1

  instance_id    = "tally"
  location       = var.region
  shard_count    = var.cache.shards
  replica_count  = var.cache.replicas
  node_type      = var.cache.node_type
  mode           = "CLUSTER"
  engine_version = "VALKEY_8_0"

  authorization_mode          = "IAM_AUTH"
  transit_encryption_mode     = "SERVER_AUTHENTICATION"
  deletion_protection_enabled = false # counters only, made again as they are used

  desired_auto_created_endpoints {
    network    = google_compute_network.tally.id
    project_id = var.project
  }

  depends_on = [google_network_connectivity_service_connection_policy.cache]
}

resource "google_compute_firewall" "cache" {
  count = var.cache == null ? 0 : 1

  name               = "tally-cache"
  network            = google_compute_network.tally.id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [google_compute_subnetwork.run.ip_cidr_range] # its endpoint has an address there

  allow {
    protocol = "tcp"
    ports    = ["6379", "11000-13047"] # finding the nodes, and the nodes
  }
}
