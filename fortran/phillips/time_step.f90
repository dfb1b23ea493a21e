!! One time step of the two-layer equations.
!!
!! Advection and Coriolis force by third-order Adams-Bashforth, friction forward, bottom drag implicit, pressure
!! and continuity forward-backward, and the external mode in sub-steps between the two.
module time_step
  use barotropic, only: barotropic_mode, new_barotropic
  use configuration, only: settings
  use constants, only: dp, halo, layers
  use continuity, only: continuity_scheme, new_continuity
  use domain, only: block
  use eddy_energy, only: eddy_scheme, new_eddy_scheme
  use energy_budget, only: face_work, interface_energy, powers
  use halo_exchange, only: exchange, field
  use momentum, only: momentum_scheme, new_momentum
  use parameters, only: depth, drag_coefficient, reduced_gravity, tidal_speed
  use sponge, only: new_sponge, sponge_forcing
  use state, only: model_state
  use thickness_diffusion, only: diffuse_interface
  use viscosity, only: new_viscosity, viscosity_scheme
  implicit none
  private
  public :: new_stepper

  real(dp), parameter :: bashforth(3, 0:2) = reshape([real(dp) :: &
    1.0_dp, 0.0_dp, 0.0_dp, 1.5_dp, -0.5_dp, 0.0_dp, 23 / 12.0_dp, -16 / 12.0_dp, 5 / 12.0_dp], [3, 3])
    !! weights of the last tendencies by how many earlier ones are known

  !> The schemes of the terms, with their work arrays.
  type, public :: stepper
    type(eddy_scheme) :: eddies
    type(barotropic_mode), private :: mode
    type(momentum_scheme), private :: momentum
    type(viscosity_scheme), private :: viscosity
    type(continuity_scheme), private :: continuity
    type(sponge_forcing), private :: sponge
    real(dp), private :: dt
    real(dp), allocatable, private :: u(:, :, :), v(:, :, :)    !! velocity without the external mode [m s-1]
    real(dp), allocatable, private :: u_slow(:, :), v_slow(:, :)   !! its depth mean [m s-1]
    real(dp), allocatable, private :: friction_u(:, :, :), friction_v(:, :, :)  !! [m s-2]
    real(dp), allocatable, private :: rise(:, :)                !! of the interface by diffusion [m]
    real(dp), allocatable, private :: release(:, :)             !! potential energy that it gives up [m3 s-3]
  contains
    procedure :: step
    procedure, private :: predict, correct, drag_work
  end type stepper

contains

  function new_stepper(b, chosen) result(model)
    type(block), intent(in) :: b
    type(settings), intent(in) :: chosen
    type(stepper) :: model

    model%dt = chosen%dt
    model%eddies = new_eddy_scheme(b, chosen)
    model%mode = new_barotropic(b, chosen%dt)
    model%momentum = new_momentum(b)
    model%viscosity = new_viscosity(b, chosen%dt, trim(chosen%viscosity))
    model%continuity = new_continuity(b)
    model%sponge = new_sponge(b, chosen%dt, chosen%sponge_days)
    associate (i => b%ni + halo, j => b%nj + halo, o => 1 - halo)
      allocate (model%u(o:i, o:j, layers), model%v(o:i, o:j, layers), model%friction_u(o:i, o:j, layers), &
        model%friction_v(o:i, o:j, layers), source=0.0_dp)
      allocate (model%u_slow(o:i, o:j), model%v_slow(o:i, o:j), model%rise(o:i, o:j), model%release(o:i, o:j), &
        source=0.0_dp)
    end associate
  end function new_stepper

  !> Advance the state by one time step; its halos are valid before and after as far as the terms reach.
  subroutine step(self, b, s, work)
    class(stepper), intent(inout), target :: self
    type(block), intent(in) :: b
    type(model_state), intent(inout), target :: s
    type(powers), intent(inout), optional :: work  !! of the processes in this step; measured if present
    integer :: i, j

    if (self%eddies%active) then
      call self%eddies%diagnose(b, s)
      call diffuse_interface(b, self%dt, s%h(:, :, 2), self%eddies%diffusivity, self%rise, self%release)
      if (self%eddies%prognostic) call self%eddies%advance(b, self%dt, self%release, s)
    end if
    s%order = cshift(s%order, -1)
    call depth_mean(b, s%h, s%u, s%v, self%mode%u, self%mode%v)
    call self%momentum%advect(b, s%h, s%u, s%v, self%mode%u, self%mode%v, &
      s%du(:, :, :, s%order(1)), s%dv(:, :, :, s%order(1)))
    if (self%viscosity%active) call self%viscosity%friction(b, s%h, s%u, s%v, self%friction_u, self%friction_v)
    call self%predict(b, s)
    if (present(work)) then
      work%diffusion = -sum(self%release(1:b%ni, 1:b%nj))
      work%viscous = face_work(b, s%h, s%u, s%v, self%friction_u, self%friction_v)
      work%drag = self%drag_work(b, s)
    end if
    call self%mode%advance(b, self%dt)
    call self%correct(b, s)
    call exchange(b, [field(s%u), field(s%v, on_v=.true.), field(self%mode%uh_mean), &
      field(self%mode%vh_mean, on_v=.true.)], width=3)
    call self%continuity%advance(b, self%dt, s%u, s%v, self%mode%uh_mean, self%mode%vh_mean, s%h)
    if (self%eddies%active) then
      do j = 1, b%nj
        do i = 1, b%ni
          s%h(i, j, 1) = s%h(i, j, 1) - self%rise(i, j)
          s%h(i, j, 2) = s%h(i, j, 2) + self%rise(i, j)
        end do
      end do
    end if
    if (present(work)) work%sponge = -interface_energy(b, s%h(:, :, 2)) / self%dt
    call self%sponge%restore(b, s%h)
    if (present(work)) work%sponge = work%sponge + interface_energy(b, s%h(:, :, 2)) / self%dt
    call exchange(b, [field(s%h), field(s%eddy_energy)], width=2)
    s%past = min(s%past + 1, 2)
    s%time = s%time + self%dt
  end subroutine step

  !> Velocity after a step of all but the external mode, and the force on that mode.
  subroutine predict(self, b, s)
    class(stepper), intent(inout) :: self
    type(block), intent(in) :: b
    type(model_state), intent(in) :: s

    real(dp) :: w(3), press, drag, upper, lower
    integer :: i, j, k

    w = self%dt * bashforth(:, s%past)
    press = self%dt * reduced_gravity / b%dx
    associate (u => s%u, v => s%v, h => s%h, n1 => s%order(1), n2 => s%order(2), n3 => s%order(3))
      do k = 1, layers
        do j = 1, b%nj
          do i = 1, b%ni
            self%u(i, j, k) = u(i, j, k) + self%dt * self%friction_u(i, j, k) &
              + w(1) * s%du(i, j, k, n1) + w(2) * s%du(i, j, k, n2) + w(3) * s%du(i, j, k, n3)
            self%v(i, j, k) = v(i, j, k) + self%dt * self%friction_v(i, j, k) &
              + w(1) * s%dv(i, j, k, n1) + w(2) * s%dv(i, j, k, n2) + w(3) * s%dv(i, j, k, n3)
          end do
        end do
      end do
      do j = 1, b%nj
        do i = 1, b%ni
          upper = 0.5_dp * (h(i, j, 1) + h(i + 1, j, 1))
          lower = 0.5_dp * (h(i, j, 2) + h(i + 1, j, 2))
          drag = drag_rate(lower, u(i, j, 2), v(i, j, 2) + v(i + 1, j, 2) + (v(i, j - 1, 2) + v(i + 1, j - 1, 2)))
          self%u(i, j, 2) = (self%u(i, j, 2) - press * (h(i + 1, j, 2) - h(i, j, 2))) / (1 + self%dt * drag)
          self%u_slow(i, j) = (upper * self%u(i, j, 1) + lower * self%u(i, j, 2)) / (upper + lower)
          self%mode%force_u(i, j) = (self%u_slow(i, j) - self%mode%u(i, j)) / self%dt
        end do
      end do
      do j = 1, b%nj + 1
        do i = 1, b%ni + 1
          self%mode%eta(i, j) = h(i, j, 1) + h(i, j, 2) - depth
        end do
      end do
      do j = 1, b%nj_v
        do i = 1, b%ni
          upper = 0.5_dp * (h(i, j, 1) + h(i, j + 1, 1))
          lower = 0.5_dp * (h(i, j, 2) + h(i, j + 1, 2))
          drag = drag_rate(lower, v(i, j, 2), u(i, j, 2) + u(i, j + 1, 2) + (u(i - 1, j, 2) + u(i - 1, j + 1, 2)))
          self%v(i, j, 2) = (self%v(i, j, 2) - press * (h(i, j + 1, 2) - h(i, j, 2))) / (1 + self%dt * drag)
          self%v_slow(i, j) = (upper * self%v(i, j, 1) + lower * self%v(i, j, 2)) / (upper + lower)
          self%mode%force_v(i, j) = (self%v_slow(i, j) - self%mode%v(i, j)) / self%dt
        end do
      end do
    end associate
  end subroutine predict

  !> Rate at which the bottom drags the lower layer [s-1].
  pure real(dp) function drag_rate(thickness, along, four_across)
    real(dp), intent(in) :: thickness    !! of the layer at the face [m]
    real(dp), intent(in) :: along        !! velocity at the face [m s-1]
    real(dp), intent(in) :: four_across  !! sum of the four nearest of the other component [m s-1]

    drag_rate = drag_coefficient / thickness * sqrt(along**2 + tidal_speed**2 + (0.25_dp * four_across)**2)
  end function drag_rate

  !> Work of the bottom drag in the step whose velocities are predicted [m3 s-3].
  pure real(dp) function drag_work(self, b, s)
    class(stepper), intent(in) :: self
    type(block), intent(in) :: b
    type(model_state), intent(in) :: s

    real(dp) :: lower
    integer :: i, j

    drag_work = 0
    associate (u => s%u, v => s%v, h => s%h)
      do j = 1, b%nj
        do i = 1, b%ni
          lower = 0.5_dp * (h(i, j, 2) + h(i + 1, j, 2))
          drag_work = drag_work - lower * u(i, j, 2) * self%u(i, j, 2) * drag_rate(lower, u(i, j, 2), &
            v(i, j, 2) + v(i + 1, j, 2) + (v(i, j - 1, 2) + v(i + 1, j - 1, 2)))
        end do
      end do
      do j = 1, b%nj_v
        do i = 1, b%ni
          lower = 0.5_dp * (h(i, j, 2) + h(i, j + 1, 2))
          drag_work = drag_work - lower * v(i, j, 2) * self%v(i, j, 2) * drag_rate(lower, v(i, j, 2), &
            u(i, j, 2) + u(i, j + 1, 2) + (u(i - 1, j, 2) + u(i - 1, j + 1, 2)))
        end do
      end do
    end associate
  end function drag_work

  !> Put the depth mean that the sub-steps reached in the place of the predicted one.
  subroutine correct(self, b, s)
    class(stepper), intent(in) :: self
    type(block), intent(in) :: b
    type(model_state), intent(inout) :: s

    integer :: i, j, k

    do k = 1, layers
      do j = 1, b%nj
        do i = 1, b%ni
          s%u(i, j, k) = self%u(i, j, k) + (self%mode%u(i, j) - self%u_slow(i, j))
        end do
      end do
      do j = 1, b%nj_v
        do i = 1, b%ni
          s%v(i, j, k) = self%v(i, j, k) + (self%mode%v(i, j) - self%v_slow(i, j))
        end do
      end do
    end do
  end subroutine correct

  !> Depth-mean velocity on the block and one cell around it.
  subroutine depth_mean(b, h, u, v, u_mean, v_mean)
    type(block), intent(in) :: b
    real(dp), intent(in), contiguous :: h(1 - halo:, 1 - halo:, :)  !! thickness [m]
    real(dp), intent(in), contiguous :: u(1 - halo:, 1 - halo:, :), v(1 - halo:, 1 - halo:, :)  !! [m s-1]
    real(dp), intent(inout), contiguous :: u_mean(1 - halo:, 1 - halo:), v_mean(1 - halo:, 1 - halo:)  !! [m s-1]

    real(dp) :: upper, lower
    integer :: i, j

    do j = 0, b%nj + 1
      do i = 0, b%ni + 1
        upper = h(i, j, 1) + h(i + 1, j, 1)
        lower = h(i, j, 2) + h(i + 1, j, 2)
        u_mean(i, j) = (upper * u(i, j, 1) + lower * u(i, j, 2)) / (upper + lower)
        upper = h(i, j, 1) + h(i, j + 1, 1)
        lower = h(i, j, 2) + h(i, j + 1, 2)
        v_mean(i, j) = (upper * v(i, j, 1) + lower * v(i, j, 2)) / (upper + lower)
      end do
    end do
  end subroutine depth_mean
end module time_step
