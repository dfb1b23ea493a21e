!! Mesoscale eddy kinetic energy: its budget, and the diffusivity that it gives (Jansen et al. 2015; MOM6's MEKE).
module eddy_energy
  use configuration, only: settings
  use constants, only: dp, halo
  use domain, only: block
  use parameters, only: beta, depth, drag_coefficient, reduced_gravity, tidal_speed
  use state, only: model_state
  use thickness_diffusion, only: largest_diffusivity
  implicit none
  private
  public :: new_eddy_scheme, deformation_radius, internal_speed, start_energy

  real(dp), parameter :: start_energy = 0.01_dp       !! from the jet, near the equilibrium [m2 s-2]
  real(dp), parameter :: least_ratio = 1.0e-4_dp      !! of the energy at the bottom, and of the barotropic, to E
  real(dp), parameter :: steepest = 0.01_dp

  !> Diffusivities and what feeds the budget.
  type, public :: eddy_scheme
    logical :: active, prognostic, fed
    real(dp), allocatable :: diffusivity(:, :)          !! of thickness, valid with one halo cell [m2 s-1]
    real(dp), allocatable, private :: mixing(:, :)      !! by the eddies alone, of E itself [m2 s-1]
    real(dp), allocatable, private :: new(:, :)
    type(settings), private :: chosen
    real(dp), private :: most               !! diffusivity that the time step bears [m2 s-1]
    real(dp), private :: per_friction_length  !! 1/Lf, Lf = H/CD [m-1]
    real(dp), private :: rhines, eady, deform, frict, grid  !! 1/alpha of each length, 0: left out
  contains
    procedure :: diagnose
    procedure :: advance
  end type eddy_scheme

contains

  function new_eddy_scheme(b, chosen) result(scheme)
    type(block), intent(in) :: b
    type(settings), intent(in) :: chosen
    type(eddy_scheme) :: scheme

    scheme%prognostic = chosen%scheme == 'prognostic'
    scheme%fed = chosen%scheme /= 'none'
    scheme%active = scheme%fed .or. chosen%khth > 0
    scheme%chosen = chosen
    scheme%per_friction_length = drag_coefficient / depth
    scheme%rhines = inverse(chosen%alpha_rhines)
    scheme%eady = inverse(chosen%alpha_eady)
    scheme%deform = inverse(chosen%alpha_deform)
    scheme%frict = inverse(chosen%alpha_frict)
    scheme%grid = inverse(chosen%alpha_grid)
    scheme%most = largest_diffusivity(b%dx, chosen%dt)
    associate (i => b%ni + halo, j => b%nj + halo, o => 1 - halo)
      allocate (scheme%diffusivity(o:i, o:j), scheme%mixing(o:i, o:j), scheme%new(o:i, o:j), source=0.0_dp)
    end associate

  contains

    pure real(dp) function inverse(alpha)
      real(dp), intent(in) :: alpha

      inverse = 0
      if (alpha > 0) inverse = 1 / alpha
    end function inverse
  end function new_eddy_scheme

  !> Speed of long internal gravity waves [m s-1].
  elemental real(dp) function internal_speed(h1, h2)
    real(dp), intent(in) :: h1, h2  !! thickness [m]

    internal_speed = sqrt(reduced_gravity * max(0.0_dp, h1 * h2) / (h1 + h2))
  end function internal_speed

  !> Deformation radius c/sqrt(f**2 + 2*c*beta) of the internal mode [m].
  elemental real(dp) function deformation_radius(h1, h2, f)
    real(dp), intent(in) :: h1, h2  !! thickness [m]
    real(dp), intent(in) :: f       !! Coriolis parameter [s-1]
    real(dp) :: c

    c = internal_speed(h1, h2)
    deformation_radius = c / sqrt(f**2 + 2 * c * beta)
  end function deformation_radius

  !> Diffusivities from the state, on the block and one cell around it.
  subroutine diagnose(self, b, s)
    class(eddy_scheme), intent(inout) :: self
    type(block), intent(in) :: b
    type(model_state), intent(in) :: s

    real(dp) :: radius, ratio, speed, eady, rate
    integer :: i, j

    do j = 0, b%nj + 1
      do i = 0, b%ni + 1
        radius = deformation_radius(s%h(i, j, 1), s%h(i, j, 2), b%f(j))
        if (self%fed) then
          ratio = max((1 + 50 * radius * self%per_friction_length)**(-0.25_dp), least_ratio)
          speed = sqrt(2 * ratio * max(0.0_dp, s%eddy_energy(i, j)))
          eady = sqrt(squared_slope(b, s%h, i, j) * reduced_gravity / max(s%h(i, j, 1), s%h(i, j, 2)))
          ! speed/L of 1/L = sum of 1/(alpha*length): Rhines sqrt(speed/beta), Eady speed/eady, deformation, ...
          rate = self%rhines * sqrt(beta * speed) + self%eady * eady &
            + speed * (self%deform / radius + self%frict * self%per_friction_length + self%grid / b%dx)
          self%mixing(i, j) = 0
          if (rate > 0) self%mixing(i, j) = self%chosen%khcoeff * speed**2 / rate
        end if
        ! not where the grid resolves the deformation radius
        self%diffusivity(i, j) = merge(0.0_dp, &
          min(self%most, self%chosen%khth + self%chosen%khth_fac * self%mixing(i, j)), radius > 2 * b%dx)
        self%mixing(i, j) = min(self%most, self%chosen%khmeke_fac * self%mixing(i, j))
      end do
    end do
  end subroutine diagnose

  !> One time step of the prognostic budget inside the block: source, diffusion, drag.
  subroutine advance(self, b, dt, release, s)
    class(eddy_scheme), intent(inout) :: self
    type(block), intent(in) :: b
    real(dp), intent(in) :: dt  !! time step [s]
    real(dp), intent(in), contiguous :: release(1 - halo:, 1 - halo:)
      !! potential energy that thickness diffusion releases, per area and density [m3 s-3]
    type(model_state), intent(inout) :: s

    real(dp) :: ratio, rate, bottom, source, spread
    integer :: i, j

    do j = 1, b%nj
      do i = 1, b%ni
        source = self%chosen%bgsrc + self%chosen%gmcoeff * release(i, j) / depth
        spread = 0.5_dp / b%dx**2 * (flow(i, j, i + 1, j) + flow(i, j, i - 1, j) + flow(i, j, i, j + 1) &
          + flow(i, j, i, j - 1))
        ratio = max((1 + 25 * deformation_radius(s%h(i, j, 1), s%h(i, j, 2), b%f(j)) &
          * self%per_friction_length)**(-0.8_dp), least_ratio)
        bottom = tidal_speed**2 &
          + 0.5_dp * (s%u(i, j, 2)**2 + s%u(i - 1, j, 2)**2 + s%v(i, j, 2)**2 + s%v(i, j - 1, 2)**2)
        rate = ratio * drag_coefficient / depth * sqrt(bottom + 2 * ratio * s%eddy_energy(i, j) + self%chosen%uscale**2)
        self%new(i, j) = max(0.0_dp, s%eddy_energy(i, j) + dt * (source + spread)) / (1 + dt * rate)
      end do
    end do
    s%eddy_energy(1:b%ni, 1:b%nj) = self%new(1:b%ni, 1:b%nj)

  contains

    !> Twice the mixing at the face times the difference to a neighbour.
    pure real(dp) function flow(i, j, in, jn)
      integer, intent(in) :: i, j, in, jn

      flow = (self%mixing(i, j) + self%mixing(in, jn)) * (s%eddy_energy(in, jn) - s%eddy_energy(i, j))
    end function flow
  end subroutine advance

  !> Squared slope of the interface at a centre, as steep as the diffusion takes it.
  pure real(dp) function squared_slope(b, h, i, j)
    type(block), intent(in) :: b
    real(dp), intent(in) :: h(1 - halo:, 1 - halo:, :)
    integer, intent(in) :: i, j

    squared_slope = min(steepest**2, ((h(i + 1, j, 2) - h(i - 1, j, 2))**2 &
      + (h(i, j + 1, 2) - h(i, j - 1, 2))**2) / (2 * b%dx)**2)
  end function squared_slope
end module eddy_energy
