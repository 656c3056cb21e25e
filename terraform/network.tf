# Only what goes to the database (and the cache) passes through here: functions reach Google's APIs outside of it
# (egress PRIVATE_RANGES_ONLY), nothing in it has a public address, and there is no NAT. That way outside is Cloud Run's,
# not this network's: the rules below do not close it.
resource "google_compute_network" "tally" {
  name                    = "tally"
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"

  depends_on = [google_project_service.api]
}

resource "google_compute_subnetwork" "run" {
  #checkov:skip=CKV_GCP_26:One kind of traffic, functions to their database, which logs its connections itself
  name    = "tally-run"
  network = google_compute_network.tally.id
  region  = var.region

  # Each instance takes an address, two while a new revision takes over, and gives it back after a while only.
  ip_cidr_range            = var.subnet_range
  private_ip_google_access = true
}

# Where Google puts the database, joined to the network by peering.
resource "google_compute_global_address" "services" {
  name          = "tally-services"
  network       = google_compute_network.tally.id
  address_type  = "INTERNAL"
  purpose       = "VPC_PEERING"
  prefix_length = 20
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.tally.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]

  # Google frees the range days after the database is gone. The peering goes with the network.
  deletion_policy = "ABANDON"

  depends_on = [google_project_service.api]
}

# A VPC lets nothing in by itself. Out goes what the database and the cache need.
resource "google_compute_firewall" "deny_egress" {
  name               = "tally-deny-egress"
  network            = google_compute_network.tally.id
  direction          = "EGRESS"
  priority           = 65000
  destination_ranges = ["0.0.0.0/0"]

  deny { protocol = "all" }
}

resource "google_compute_firewall" "database" {
  name      = "tally-database"
  network   = google_compute_network.tally.id
  direction = "EGRESS"
  priority  = 1000
  destination_ranges = [
    "${google_compute_global_address.services.address}/${google_compute_global_address.services.prefix_length}"
  ]

  allow {
    protocol = "tcp"
    ports    = ["3307"] # of Cloud SQL's connectors; 5432 stays shut
  }
}
