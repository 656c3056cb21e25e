variable "bounds" {
  description = "What one instance gets, how many requests it takes at once, and how many instances there may be."
  type = object({
    concurrency   = number
    cpu           = string
    max_instances = number
    memory        = string
    min_instances = number
  })
}

variable "environment" {
  description = "Settings of the function by the name of their variable, besides TALLY_FUNCTION."
  type        = map(string)
}

variable "function" {
  description = "Which function the service is: its name without tally-, and TALLY_FUNCTION."
  type        = string
}

variable "image" {
  description = "Image that the service runs; null for none, which leaves the account only."
  type        = string
}

variable "ingress" {
  description = "From where requests come in, as Cloud Run names it."
  type        = string
}

variable "invokers" {
  description = "Members that may call the service, where it is not public."
  type        = set(string)
  default     = []
}

variable "network" {
  description = "Network and subnetwork through which the database is reached."
  type        = object({ network = string, subnetwork = string })
}

variable "project" {
  description = "Project of the account and the service."
  type        = string
}

variable "public" {
  description = "Whether Cloud Run lets in anybody, because the function itself checks who asks."
  type        = bool
  default     = false
}

variable "region" {
  description = "Region of the service."
  type        = string
}

variable "timeout" {
  description = "Seconds after which Cloud Run gives up a request."
  type        = number
}
